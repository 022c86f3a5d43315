import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, createKey, everything, keysetText, ROOT_KEY_ID, ROOT_SECRET, serve, tokenOf } from '../harness/service.ts';
import { tamper } from '../harness/stored-keys.ts';
import { ronKms, showsStack } from './ron-kms.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-store-faults-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const home = join(root, 'home');
const OPERATOR = tokenOf({ caveats: everything('*') });
const WORDS = { KMS_WORDS: 'otter lantern quartz meadow' };

const run = (line: string, env: Readonly<Record<string, string>> = WORDS) => ronKms(line.split(' '), { cwd: home, env });
const doctor = async (env?: Readonly<Record<string, string>>) => {
  const { code, out } = await run('doctor --offline --json', env);
  const { findings } = JSON.parse(out) as { findings: { name: string; level: string; says: string }[] };
  return { code, wrong: findings.filter(({ level }) => level === 'wrong').map(({ name, says }) => `${name}: ${says}`) };
};

/** Kept aside, for what is restored later. */
beforeAll(async () => {
  cpSync(mkdtempSync(join(root, 'empty-')), home, { recursive: true });
  writeFileSync(join(home, 'keyset.json'), keysetText([{ id: ROOT_KEY_ID, secret: ROOT_SECRET }]), { mode: 0o600 });
  const init = await run('init --passphrase-env KMS_WORDS --json');
  expect(init).toMatchObject({ code: 0, err: '' });
  writeFileSync(join(home, 'pinned.json'), init.out);
  expect(await doctor({ ...WORDS, RON_KMS_AUTH_KEYSET_PATH: join(home, 'keyset.json') })).toEqual({ code: 0, wrong: [] });
  for (let round = 0; round < 2; round++) {
    const service = await serve(['--auth-keyset-path', join(home, 'keyset.json')], { cwd: home, env: WORDS });
    for (let i = 0; i < 3; i++) await createKey(service, {}, OPERATOR);
    expect((await call(service, 'GET', '/keys', undefined, OPERATOR)).body['keys']).toHaveLength(3 * (round + 1));
    expect(await service.end('SIGTERM')).toBe(0);
    if (round === 0) cpSync(join(home, 'kms-sealed'), join(root, 'old-keys'), { recursive: true });
  }
  cpSync(home, join(root, 'good'), { recursive: true });
});

function putBack(): void {
  rmSync(home, { recursive: true });
  cpSync(join(root, 'good'), home, { recursive: true });
}

const sealed = join(home, 'kms-sealed');
const database = join(sealed, 'keys.db');
const sql = (text: string) => () => tamper(sealed, (opened) => opened.exec(text));

/** What is done to the files, and what the doctor says of them. */
const harms: readonly { readonly what: string; readonly harm: () => void; readonly says: RegExp }[] = [
  { what: 'a record edited', harm: sql("UPDATE records SET content = replace(content, 'enabled', 'disabled') WHERE id = 2"), says: /keys: the record of core\/audit/ },
  { what: 'a record dropped', harm: sql('DELETE FROM records WHERE id = 2'), says: /keys: the record of .* is missing/ },
  { what: 'a sealed part changed in place', harm: sql('UPDATE records SET sealed = zeroblob(102) WHERE id = 2'), says: /keys: the record of .* was changed/ },
  { what: 'a public part changed', harm: sql('UPDATE public_parts SET bytes = zeroblob(1952) WHERE id = (SELECT max(id) FROM public_parts)'), says: /keys: a public part of .* was changed/ },
  { what: 'the history cut', harm: sql('DELETE FROM changes WHERE id = (SELECT max(id) FROM changes)'), says: /keys: the history of the store does not lead to its head/ },
  { what: 'an older copy of the keys', harm: () => { rmSync(sealed, { recursive: true }); cpSync(join(root, 'old-keys'), sealed, { recursive: true }); }, says: /log: .*an older copy of the store was restored/ },
  { what: 'a truncated database', harm: () => truncateSync(database, 20_000), says: /keys: the database is damaged/ },
  { what: 'no database', harm: () => rmSync(sealed, { recursive: true }), says: /keys: there is no store in/ },
];

describe.each(harms)('with $what', ({ harm, says }) => {
  test('the doctor says so and exits with 1, audit verify with 3, and nothing is overwritten', async () => {
    putBack();
    harm();
    const before = existsSync(database) ? readFileSync(database) : undefined;
    const { code, wrong } = await doctor();
    expect({ code, wrong: wrong.join() }).toMatchObject({ code: 1, wrong: expect.stringMatching(says) });
    const verify = await run('audit verify --keys pinned.json');
    expect(verify.code).toBe(3);
    expect(showsStack(verify.err)).toBe(false);
    const told = JSON.parse((await run('audit verify --keys pinned.json --json')).out) as { ok: boolean; store: { ok: boolean }; faults: object[] };
    expect([told.ok, told.store.ok && told.faults.length === 0]).toEqual([false, false]);
    if (before !== undefined) expect(readFileSync(database).equals(before)).toBe(true);
  });
});

test('as it was left, both find nothing', async () => {
  putBack();
  expect(await doctor({ ...WORDS, RON_KMS_AUTH_KEYSET_PATH: join(home, 'keyset.json') })).toEqual({ code: 0, wrong: [] });
  expect(await run('audit verify --keys pinned.json')).toMatchObject({ code: 0 });
});

test('with a wrong passphrase, or none, the doctor says so', async () => {
  putBack();
  expect((await doctor({ KMS_WORDS: 'otter lantern quartz meadows' })).wrong.join()).toMatch(/root key: .*wrong passphrase/);
  expect((await doctor({})).wrong.join()).toMatch(/root key: .*passphrase_env names is not set/);
});
