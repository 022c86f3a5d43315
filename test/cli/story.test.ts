import type { TestService } from '../harness/service.ts';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startService } from '../harness/service.ts';
import { ronKms } from './ron-kms.ts';

let service: TestService;
beforeAll(async () => { service = await startService(); });
afterAll(async () => { await service.stop(); });

/** One command in the service's scratch directory; fails the test when it does not end with 0. */
async function say(command: string, token?: string, stdin?: string): Promise<string> {
  const { code, out, err } = await tell(command, token, stdin);
  expect({ command, code, err }).toMatchObject({ code: 0 });
  return out.trim();
}

function tell(command: string, token?: string, stdin?: string) {
  const env = { RON_KMS_URL: service.apiUrl, ...(token !== undefined && { RON_KMS_TOKEN: token }) };
  return ronKms(command.split(' '), { cwd: service.directory, env, ...(stdin !== undefined && { stdin }) });
}

function file(name: string): string {
  return join(service.directory, name);
}

test('the whole story, with a minted and a narrowed token', async () => {
  const token = await say('token mint --keyset keyset.json --client ci --tenant core --scope read,sign,verify,rotate --scope kms:destroy --expires 1h --rps 500');
  expect(await say('token whoami', token)).toContain('client ci');

  const created = JSON.parse(await say('--json keys create --tenant core --purpose audit --label team=payments', token)) as { kid: string; labels: object };
  expect(created).toMatchObject({ alg: 'ed25519+ml-dsa', labels: { team: 'payments' } });
  const base = created.kid.split('#')[0] ?? '';

  writeFileSync(file('deed.txt'), 'the deed');
  expect(await say(`sign deed.txt --kid ${base} --out deed.sig`, token)).toContain(`signed by ${created.kid}`);
  expect(JSON.parse(readFileSync(file('deed.sig'), 'utf8'))).toMatchObject({ kid: created.kid, sigs: [{ alg: 'ed25519' }, { alg: 'ml-dsa' }] });

  const narrow = await say('token attenuate - --scope verify --purpose audit --expires 10m', undefined, `${token}\n`);
  expect(await say('verify deed.txt --signature deed.sig --mode and', narrow)).toContain('deed.txt is what was signed');
  const refused = await tell(`sign deed.txt --kid ${base}`, narrow);
  expect(refused).toMatchObject({ code: 1, out: '' });
  expect(refused.err).toMatch(/^ron-kms: NoCapability \(403\).*\n {2}hint: the token lacks the scope.*\n {2}request id: [0-9a-f-]{36}\n$/);

  expect(await say(`keys rotate ${base}`, token)).toContain(`${base}#v2`);
  expect(await say('verify deed.txt --signature deed.sig', narrow)).toContain('is what was signed');
  expect(await say(`verify deed.txt --signature deed.sig --kid ${base}`, narrow)).toContain('is what was signed');
  const other = await tell(`verify deed.txt --signature deed.sig --kid ${base}#v2`, narrow);
  expect(other).toMatchObject({ code: 3 });
  expect(other.out).toContain('NOT what was signed');

  writeFileSync(file('deed.txt'), 'another deed');
  expect(await tell('verify deed.txt --signature deed.sig', narrow)).toMatchObject({ code: 3 });

  expect(await say(`keys set ${base} --no-labels --rotate-after 90d`, token)).toContain('every 90d');
  expect(await say(`keys set ${base} --no-rotate`, token)).not.toContain('rotates');
  expect(await say(`keys disable ${base}#v1`, token)).toContain('v1 disabled');
  expect(await say(`keys enable ${base}#v1`, token)).toContain('v1 enabled');
  expect(await say(`keys destroy ${base}#v1 --after 2d`, token)).toContain('v1 scheduled');
  expect(await say(`keys restore ${base}#v1`, token)).toContain('v1 enabled');
  expect(await say(`keys get ${base}`, token)).toContain(`${base}#v2`);
  expect(await say('keys list --tenant core --purpose audit', token)).toContain(base);
});

test('a data key is wrapped, rewrapped and unwrapped, and goes to private files only', async () => {
  const token = await say('token mint --keyset keyset.json --client ci --tenant core --scope wrap,unwrap,rewrap,rotate --expires 1h');
  const { kid } = JSON.parse(await say('keys create --tenant core --purpose wrap --json', token)) as { kid: string };
  const wrapped = await tell(`wrap --kid ${kid} --size 32 --aad-b64 YWFk --out k.wrapped --key-out k.bin --json`, token);
  expect(wrapped.code).toBe(0);
  const key = readFileSync(file('k.bin'));
  expect(key).toHaveLength(32);
  expect(statSync(file('k.bin')).mode & 0o777).toBe(0o600);
  expect(wrapped.out + wrapped.err).not.toContain(key.toString('base64'));

  await say(`keys rotate ${kid.split('#')[0]}`, token);
  const rewrapped = JSON.parse(await say('rewrap k.wrapped --aad-b64 YWFk --out k.wrapped --json', token)) as { kid: string };
  expect(rewrapped.kid).toBe(`${kid.split('#')[0]}#v2`);
  expect(await say('unwrap k.wrapped --aad-b64 YWFk --out k2.bin', token)).not.toContain(key.toString('base64'));
  expect(readFileSync(file('k2.bin'))).toEqual(key);
  expect(statSync(file('k2.bin')).mode & 0o777).toBe(0o600);
  expect(await say('unwrap - --aad-b64 YWFk', token, readFileSync(file('k.wrapped'), 'utf8'))).toBe(key.toString('base64'));
  expect(await tell('unwrap k.wrapped', token)).toMatchObject({ code: 1 });

  await say(`wrap --kid ${kid.split('#')[0]} --in k.bin --out again.wrapped`, token);
  expect(await say('unwrap again.wrapped', token)).toBe(key.toString('base64'));
});

test('a raw key gets the payload itself, without being told', async () => {
  const token = await say('token mint --keyset keyset.json --client ci --tenant core --scope sign,verify,rotate --expires 1h');
  const { kid } = JSON.parse(await say('keys create --tenant core --purpose jose --alg ed25519+ml-dsa --input raw --json', token)) as { kid: string };
  const bundle = await say(`sign - --kid ${kid}`, token, 'a header');
  writeFileSync(file('raw.sig'), bundle);
  expect(await say('verify - --signature raw.sig', token, 'a header')).toContain('is what was signed');
  expect(await say('verify - --signature raw.sig --input raw', token, 'a header')).toContain('is what was signed');
  expect(await tell('verify - --signature raw.sig', token, 'another')).toMatchObject({ code: 3 });
  expect(await tell(`sign - --kid ${kid} --input b3`, token, 'a header')).toMatchObject({ code: 1 });
});

test('--all follows the pages, and a page says how to go on', async () => {
  const token = await say('token mint --keyset keyset.json --client ci --tenant pages --scope read,rotate --expires 1h');
  for (let i = 0; i < 5; i++) await say('keys create --tenant pages --purpose p --alg ed25519+ml-dsa', token);
  const page = JSON.parse(await say('keys list --tenant pages --limit 2 --json', token)) as { keys: object[]; next_cursor: string };
  expect(page.keys).toHaveLength(2);
  expect(await say('keys list --limit 2', token)).toContain(`more: --cursor ${page.next_cursor}`);
  expect((JSON.parse(await say(`keys list --limit 2 --cursor ${page.next_cursor} --json`, token)) as { keys: object[] }).keys).toHaveLength(2);
  expect((JSON.parse(await say('keys list --limit 2 --all --json', token)) as { keys: object[] }).keys).toHaveLength(5);
});

test('the same op id is done once', async () => {
  const token = await say('token mint --keyset keyset.json --client ci --tenant core --scope read,rotate --expires 1h');
  const [first, again] = [await say('keys create --tenant core --purpose once --op-id deploy-1', token), await say('keys create --tenant core --purpose once --op-id deploy-1', token)];
  expect(again).toBe(first);
});
