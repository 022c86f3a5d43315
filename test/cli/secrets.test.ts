import type { TestService } from '../harness/service.ts';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';
import { attenuate } from '../../src/core/macaroon/chain.ts';
import { everything, ROOT_SECRET, startService, tokenOf } from '../harness/service.ts';
import { ronKms } from './ron-kms.ts';

let service: TestService;
beforeAll(async () => { service = await startService(); });
afterAll(async () => { await service.stop(); });

/** Each form in which the bytes could stand in an output. */
function formsOf(bytes: Buffer): readonly string[] {
  return [bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex'), bytes.toString('latin1')];
}

test('neither token, signature nor root secret is ever in what inspect, config print and doctor say', async () => {
  const token = tokenOf();
  const signature = decodeToken(token)?.signature ?? Buffer.alloc(0);
  writeFileSync(join(service.directory, 'a.token'), token);
  const env = { RON_KMS_TOKEN: token, RON_KMS_AUTH_INTROSPECT_URL: 'https://user:hunter2@auth.example/introspect?key=hunter2' };
  const address = service.metricsUrl.slice('http://'.length);
  const ran = await Promise.all([
    ['token', 'inspect'], ['token', 'inspect', '--json'], ['token', 'inspect', token], ['token', 'inspect', '--token', token, '--keyset', 'keyset.json'], ['token', 'inspect', '--token-file', 'a.token'],
    ['token', 'inspect', 'x', token], ['token', 'inspect', `${token}.`], ['--tokn', token, 'token', 'inspect'], [token],
    ['config', 'print', '--profile', 'micronode', '--auth-keyset-path', 'keyset.json'], ['config', 'print', '--profile', 'micronode', '--json'], ['config', 'check', '--profile', 'micronode'],
    ['doctor', '--profile', 'micronode', '--auth-keyset-path', 'keyset.json', '--metrics-addr', address], ['doctor', '--profile', 'micronode', '--json', '--offline'],
    ['keys', 'get', token], ['token', 'new-keyset', 'keyset.json'],
  ].map((args) => ronKms(args, { cwd: service.directory, env })));
  for (const { out, err } of ran) {
    for (const secret of [token, 'hunter2', ...formsOf(signature), ...formsOf(ROOT_SECRET)]) expect(out + err).not.toContain(secret);
  }
  expect(ran.filter(({ code }) => code === 0).length).toBeGreaterThan(8);
});

test('inspect says who, what, how long, what is missing, and that it did not check the chain', async () => {
  const { code, out } = await ronKms(['token', 'inspect'], { env: { RON_KMS_TOKEN: tokenOf() } });
  expect(code).toBe(0);
  expect(out).toMatch(/client tester, token t1, root key test\n {2}expires .*, in 59 minutes/);
  expect(out).toContain('chain      not checked: anybody can write such a token');

  const incomplete = JSON.parse((await ronKms(['token', 'inspect', '--json'], { env: { RON_KMS_TOKEN: tokenOf({ caveats: ['expires = 2020-01-01T00:00:00Z', 'colour = blue'] }) } })).out) as object;
  expect(incomplete).toMatchObject({ client_id: 'tester', expired: true, missing: ['scope', 'tenant'], unknown: ['colour = blue'], scopes: [], chain: 'not checked' });
  expect((await ronKms(['token', 'inspect'], { env: { RON_KMS_TOKEN: tokenOf({ caveats: ['expires = 2020-01-01T00:00:00Z'] }) } })).out).toMatch(/EXPIRED \d+ days/);
});

test('with a key set, inspect checks the chain', async () => {
  expect(await inspect(tokenOf())).toMatchObject({ code: 0, out: expect.stringContaining('made with this root key') });
  expect(await inspect(tokenOf({ secret: Buffer.alloc(32, 8) }))).toMatchObject({ code: 3, out: expect.stringContaining('NOT made with this root key') });
  expect(await inspect(tokenOf({ rootKeyId: 'lost' }))).toMatchObject({ code: 3, out: expect.stringContaining('no such root key') });
});

function inspect(token: string) {
  return ronKms(['token', 'inspect', '--keyset', 'keyset.json'], { cwd: service.directory, env: { RON_KMS_TOKEN: token } });
}

test('what a token says cannot play with the terminal', async () => {
  const macaroon = decodeToken(tokenOf());
  if (macaroon === undefined) throw new Error('no token');
  const { out } = await ronKms(['token', 'inspect'], { env: { RON_KMS_TOKEN: encodeToken(attenuate(macaroon, 'x = \u001b[2J\u202e')) } });
  expect(out).not.toContain('\u001b');
  expect(out).toContain('\\u{1b}[2J\\u{202e}');
});

test('narrowing keeps what was there, and cannot widen', async () => {
  const env = { RON_KMS_URL: service.apiUrl, RON_KMS_TOKEN: tokenOf({ caveats: everything('core') }) };
  const { out } = await ronKms(['token', 'attenuate', '--scope', 'read', '--caveat', 'tenant = *', '--json'], { env });
  const { token, caveats } = JSON.parse(out) as { token: string; caveats: string[] };
  expect(caveats).toHaveLength(5);
  const whoami = await ronKms(['token', 'whoami', '--json'], { env: { ...env, RON_KMS_TOKEN: token } });
  expect(JSON.parse(whoami.out)).toMatchObject({ scopes: ['kms:read'], caveats });
  expect(await ronKms(['keys', 'create', '--tenant', 'other', '--purpose', 'p'], { env: { ...env, RON_KMS_TOKEN: token } })).toMatchObject({ code: 1 });

  const full = await ronKms(['token', 'attenuate', ...Array.from({ length: 62 }, () => ['--caveat', 'rps = 50']).flat()], { env });
  expect(full).toMatchObject({ code: 2, err: expect.stringContaining('at most 64 caveats') });
});

test('a new key set is private, random, and its tokens are taken', async () => {
  const made = await ronKms(['token', 'new-keyset', 'new.json', '--key', 'laptop', '--json'], { cwd: service.directory });
  expect(JSON.parse(made.out)).toEqual({ path: 'new.json', key_ids: ['laptop'] });
  const path = join(service.directory, 'new.json');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const { keys } = JSON.parse(readFileSync(path, 'utf8')) as { keys: { id: string; secret_b64: string }[] };
  expect(keys).toEqual([{ id: 'laptop', secret_b64: expect.any(String) }]);
  expect(Buffer.from(keys[0]?.secret_b64 ?? '', 'base64')).toHaveLength(32);
  expect(made.out + made.err).not.toContain(keys[0]?.secret_b64);

  const other = await startService({ flags: ['--auth-keyset-path', path] });
  const minted = await ronKms(['token', 'mint', '--keyset', path, '--client', 'me', '--tenant', 'core', '--scope', 'read', '--expires', '7d', '--not-before', '2020-01-01T00:00:00Z', '--token-id', 'mine'], { cwd: service.directory });
  expect(minted.err).toContain('auth.max_token_lifetime');
  const good = await ronKms(['token', 'mint', '--keyset', path, '--client', 'me', '--tenant', 'core', '--scope', 'read', '--expires', '7d', '--token-id', 'mine', '--peer', '127.0.0.0/8'], { cwd: service.directory });
  const { code, out } = await ronKms(['token', 'whoami', '--json'], { env: { RON_KMS_URL: other.apiUrl, RON_KMS_TOKEN: good.out.trim() } });
  await other.stop();
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ client_id: 'me', scopes: ['kms:read'] });
});

test('a generated key, a label and a file name stay what they are', async () => {
  const env = { RON_KMS_URL: service.apiUrl, RON_KMS_TOKEN: tokenOf() };
  const { out } = await ronKms(['keys', 'create', '--tenant', 'core', '--purpose', 'p', '--label', 'note=\u001b[31mred'], { env });
  expect(out).toContain('note=\\u{1b}[31mred');
});
