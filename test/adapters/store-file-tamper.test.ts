import type { DatabaseSync } from 'node:sqlite';
import { cpSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH } from '../../src/adapters/root-key/root-keys.ts';
import { generationOf, inspectStore } from '../../src/adapters/store-file/inspect.ts';
import { baseOf, contentOf, keyOf, openStore, storeMemory, tamper } from '../harness/stored-keys.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-tamper-'));
const whole = join(root, 'whole');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const KEYS = 6;
const kidOf = (number: number): string => `${baseOf(number)}#v1`;
const saying = (text: string): RegExp => new RegExp(text.replaceAll('+', '\\+'));

/** Six keys, one of them changed since, one with nonces, one made with an `op_id`. */
beforeAll(async () => {
  const store = await openStore(whole);
  for (let i = 1; i <= KEYS; i++) await store.commit({ put: keyOf(i), intent: i, ...(i === 4 && { operation: { scope: 'once', bodyHash: 'hash', expiresAtMs: 10_000 } }) });
  const third = await store.find(baseOf(3));
  if (third === undefined) throw new Error('it was committed');
  await store.commit({ put: () => ({ ...third, labels: { env: 'prod' } }) });
  await store.reserveNonces(kidOf(5), undefined);
  expect(await store.takeNonce(kidOf(5), undefined)).toBe(1n);
  await store.close();
});

let copies = 0;
function copy(): string {
  const directory = join(root, `copy-${++copies}`);
  cpSync(whole, directory, { recursive: true });
  return directory;
}

const flip = (column: string, table: string, where: string) => (database: DatabaseSync): void => {
  const { value } = database.prepare(`SELECT ${column} AS value FROM ${table} WHERE ${where}`).get() as { value: Uint8Array | string | number };
  const flipped = typeof value === 'number' ? value + 1 : value instanceof Uint8Array ? Buffer.from(value) : `${value.slice(0, -2)}${String.fromCharCode((value.codePointAt(value.length - 2) ?? 0) ^ 1)}${value.slice(-1)}`;
  if (Buffer.isBuffer(flipped)) flipped[3] = (flipped[3] ?? 0) ^ 1;
  database.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${where}`).run(flipped as never);
};
const run = (sql: string) => (database: DatabaseSync): void => database.exec(sql);

const named = saying(kidOf(2));
const ofRecord2 = `kid = '${kidOf(2)}'`;

/** What is done, what the finding says, and the key that may no longer be used, where it is one. */
type Harm = readonly [what: string, harm: (database: DatabaseSync) => void, says: RegExp, harmed?: number];
const harms: readonly Harm[] = [
  ['a record edited: its state', run(`UPDATE records SET content = replace(content, '"enabled"', '"disabled"') WHERE ${ofRecord2}`), named, 2],
  ['a bit of a record\'s content', run(`UPDATE records SET content = replace(content, '"created_at_ms":1', '"created_at_ms":3') WHERE ${ofRecord2}`), named, 2],
  ['a bit of a sealed private part', flip('sealed', 'records', ofRecord2), named, 2],
  ['a bit of a record\'s MAC', flip('mac', 'records', ofRecord2), named, 2],
  ['a record\'s generation', flip('generation', 'records', ofRecord2), named, 2],
  ['a record\'s epoch', run(`UPDATE records SET epoch = 'ff' WHERE ${ofRecord2}`), named, 2],
  ['a sealed private part taken out', run(`UPDATE records SET sealed = NULL WHERE ${ofRecord2}`), named, 2],
  ['a record dropped', run(`DELETE FROM records WHERE ${ofRecord2}`), saying(`${kidOf(2)} is missing`), 2],
  ['a record dropped with the change that made it', run(`DELETE FROM changes WHERE record_id = 2; DELETE FROM records WHERE ${ofRecord2}`), /change 2 is missing/],
  ['the last change dropped', run('DELETE FROM changes WHERE id = (SELECT max(id) FROM changes)'), /does not lead to its head/],
  ['two records that swapped their contents', run(`UPDATE records SET content = (SELECT content FROM records WHERE kid = '${kidOf(1)}') WHERE ${ofRecord2}`), named, 2],
  ['two records that swapped their kids', (database) => {
    database.exec(`UPDATE records SET kid = 'x' WHERE kid = '${kidOf(1)}'; UPDATE records SET kid = '${kidOf(1)}' WHERE ${ofRecord2}; UPDATE records SET kid = '${kidOf(2)}' WHERE kid = 'x'`);
  }, named, 2],
  ['a record put in twice, under another number', run(`INSERT INTO records (id, kid, generation, content, sealed, epoch, mac) SELECT 99, 'core/audit/ed25519+ml-dsa/01890000-0000-7000-8000-000000000099#v1', generation, content, sealed, epoch, mac FROM records WHERE ${ofRecord2}`), /000000000099#v1 was (changed|added)/],
  ['a bit of a change', flip('digest', 'changes', 'id = 2'), /does not lead to its head/],
  ['a change\'s intent', flip('intent', 'changes', 'id = 2'), /does not lead to its head/],
  ['two changes that swapped their generations', run('UPDATE changes SET generation = CASE generation WHEN 2 THEN 3 ELSE 2 END WHERE id IN (2, 3)'), /of generation 2 are missing/],
  ['a bit of the chain in the head', flip('chain', 'head', 'id = 1'), /head of the store does not authenticate/],
  ['the head\'s generation', flip('generation', 'head', 'id = 1'), /head of the store does not authenticate/],
  ['the head dropped', run('DELETE FROM head'), /head of the store does not authenticate/],
  ['nonces put back', run("UPDATE nonces SET reserved_end = '1'"), saying(`the nonces of ${kidOf(5)} were changed`), 5],
  ['nonces dropped', run('DELETE FROM nonces'), saying(`the nonces of ${kidOf(5)} are missing`), 5],
];

describe.each(harms.map(([what, harm, says, harmed]) => ({ what, harm, says, harmed })))('$what', ({ harm, says, harmed }) => {
  test('is found at the start and named; others still read, nothing is written', async () => {
    const directory = copy();
    tamper(directory, harm);
    const before = contentOf(directory);
    const store = await openStore(directory);
    try {
      expect(store.integrity()?.what).toMatch(says);
      expect(store.isReady()).toBe(false);
      if (harmed !== undefined) {
        expect([...store.integrity()?.kids ?? []]).toContain(kidOf(harmed));
        await expect(store.find(baseOf(harmed))).rejects.toMatchObject({ code: 'StoreUnavailable' });
      }
      expect(await store.find(baseOf(6))).toMatchObject({ base: baseOf(6) });
      await expect(store.commit({ put: keyOf(7) })).rejects.toMatchObject({ code: 'StoreUnavailable' });
      await expect(store.reserveNonces(kidOf(6), undefined)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    } finally {
      await store.close();
    }
    expect(contentOf(directory)).toBe(before);
  });
});

test('a record put back as it was before its last change is found, at the start and while it serves', async () => {
  const directory = join(root, 'put-back');
  let store = await openStore(directory);
  await store.commit({ put: keyOf(1) });
  let old: Record<string, unknown> = {};
  tamper(directory, (database) => { old = database.prepare('SELECT generation, content, sealed, mac FROM records').get() as Record<string, unknown>; });
  const first = await store.find(baseOf(1));
  await store.commit({ put: () => ({ ...first as NonNullable<typeof first>, labels: { held: 'yes' } }) });
  tamper(directory, (database) => database.prepare('UPDATE records SET generation = ?, content = ?, sealed = ?, mac = ?').run(...Object.values(old) as never[]));
  // Out of the cache of four, though it was used: that gives it one chance more.
  for (let i = 2; i <= 14; i++) await store.commit({ put: keyOf(i) });
  await expect(store.find(baseOf(1))).rejects.toMatchObject({ code: 'StoreUnavailable' });
  expect(store.integrity()?.what).toMatch(/is an older one, of generation 1/);
  await store.close();
  store = await openStore(directory);
  expect(store.integrity()?.what).toMatch(/is another one, of generation 1/);
  await store.close();
});

/** Of a check that nobody aborts. */
const never = new AbortController().signal;

test('a public part that was changed is found behind the start, and before it is given out', async () => {
  const directory = copy();
  tamper(directory, flip('bytes', 'public_parts', `id = (SELECT id * 8 + 1 FROM records WHERE ${ofRecord2})`));
  const store = await openStore(directory);
  const [version] = (await store.find(baseOf(2)))?.versions ?? [];
  expect(() => version?.publicParts.map(({ bytes }) => bytes)).toThrow(expect.objectContaining({ code: 'StoreUnavailable' }));
  await expect(store.find(baseOf(2))).rejects.toMatchObject({ code: 'StoreUnavailable' });
  expect(store.integrity()?.what).toMatch(saying(`a public part of ${kidOf(2)} was changed`));
  await store.close();

  const other = copy();
  tamper(other, run('DELETE FROM public_parts WHERE id = (SELECT min(id) FROM public_parts)'));
  const unread = await openStore(other);
  await unread.checkParts(never);
  expect(unread.integrity()?.what).toMatch(saying(`a public part of ${kidOf(1)} was changed`));
  await unread.close();
});

test('an answer kept for an op_id that was changed is not given', async () => {
  const directory = copy();
  tamper(directory, run("UPDATE operations SET body = replace(body, 'hash', 'mash')"));
  const store = await openStore(directory);
  await expect(store.findOperation('once', 5)).rejects.toMatchObject({ code: 'StoreUnavailable', hint: expect.stringContaining('what was asked for is not as the service left it') });
  // The store is at odds, no key is: all of them go on to verify.
  expect(store.integrity()).toEqual({ what: 'the answer that was kept for an op_id was changed', kids: new Set() });
  expect(await store.findOperation('another', 5)).toBeUndefined();
  for (let i = 1; i <= KEYS; i++) expect(await store.find(baseOf(i))).toMatchObject({ base: baseOf(i) });
  await expect(store.commit({ put: keyOf(7) })).rejects.toMatchObject({ code: 'StoreUnavailable' });
  await store.close();
});

test.runIf(process.platform === 'linux')('a look at a damaged store leaves no file open', () => {
  const directory = copy();
  tamper(directory, run('DROP TABLE changes'));
  const opened = (): readonly string[] => readdirSync('/proc/self/fd').flatMap((fd) => { try { return [readlinkSync(`/proc/self/fd/${fd}`)]; } catch { return []; } }).filter((path) => path.startsWith(directory));
  tamper(directory, (database) => {
    database.prepare('SELECT count(*) FROM records').get();
    expect(opened()).not.toEqual([]);
  });
  for (let i = 0; i < 3; i++) expect(inspectStore(directory, undefined)?.fault?.what).toMatch(/the database is damaged: no such table/);
  tamper(directory, run('DROP TABLE head'));
  expect(generationOf(directory)).toBe(0);
  expect(opened()).toEqual([]);
});

test('the store of another instance, or under another root key, is none of ours', async () => {
  for (const foreign of [{ instanceId: 'another instance' }, { held: [{ epoch: FIRST_EPOCH, key: makeRootKey(storeMemory) }] }]) {
    const store = await openStore(copy(), foreign);
    expect(store.integrity()?.what).toMatch(/is of another instance/);
    await expect(store.find(baseOf(1))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await store.close();
  }
});

describe('a file that is no whole database of ours is not opened, and stays as it is', () => {
  const spoilt: readonly (readonly [string, (path: string) => void, RegExp])[] = [
    ['cut to half', (path) => truncateSync(path, statSync(path).size >> 1), /truncated/],
    ['cut to a few bytes', (path) => truncateSync(path, 50), /not a database/],
    ['something else', (path) => writeFileSync(path, 'x'.repeat(8192)), /not a database/],
    ['of another program', (path) => writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, 68), Buffer.of(1, 2, 3, 4), readFileSync(path).subarray(72)])), /another program/],
    ['of a later version', (path) => tamper(join(path, '..'), run('PRAGMA user_version = 99')), /format 99.*newer/],
  ];
  test.each(spoilt)('%s', async (_, spoil, says) => {
    const directory = copy();
    const path = join(directory, 'keys.db');
    spoil(path);
    const before = readFileSync(path);
    await expect(openStore(directory)).rejects.toThrow(says);
    expect(readFileSync(path).equals(before)).toBe(true);
    // The lock is given back: what was put right opens.
    cpSync(join(whole, 'keys.db'), path);
    await (await openStore(directory)).close();
  });
});

test('a page of rubbish in the middle is found, or harms nothing', async () => {
  const size = statSync(join(whole, 'keys.db')).size;
  for (let page = 1; page < size / 4096; page++) {
    const directory = copy();
    const path = join(directory, 'keys.db');
    const bytes = readFileSync(path);
    bytes.fill(0xa5, page * 4096, (page + 1) * 4096);
    writeFileSync(path, bytes);
    const store = await openStore(directory).catch((fault: Error) => fault);
    if (store instanceof Error) {
      expect(store.message).toMatch(/cannot be opened/);
      continue;
    }
    await store.checkParts(never);
    expect(store.integrity(), `page ${page} is found`).toBeDefined();
    await store.close();
  }
});
