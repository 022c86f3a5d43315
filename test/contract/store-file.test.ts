import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { FileStore } from '../../src/adapters/store-file/store.ts';
import type { KeyRecord } from '../../src/core/key/record.ts';
import { openFileStore } from '../../src/adapters/store-file/store.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { systemProcesses } from '../../src/adapters/system/processes.ts';
import { keyStoreContract } from './key-store.ts';

const memory = createLockedMemory();
const root = mkdtempSync(join(tmpdir(), 'ron-kms-store-'));
const close: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const one of close) await one();
  rmSync(root, { recursive: true, force: true });
});

const openStore = async (): Promise<FileStore> => {
  const rootKeys = rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], 'an instance', memory);
  const store = await openFileStore({ directory: mkdtempSync(join(root, 's-')), rootKeys, mayCreate: true, cacheKeysMax: 8, processes: systemProcesses });
  close.push(store.close);
  return store;
};

keyStoreContract('file', openStore);

test('says of each change above a generation which intent it had, and the newest version that it made or changed', async () => {
  const store = await openStore();
  const base = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';
  const keyOf = (versions: number, labels = {}): KeyRecord => ({
    base, tenant: 'core', purpose: 'audit', alg: 'ed25519', input: 'b3', labels, createdAtMs: 0,
    versions: Array.from({ length: versions }, (_, i) => ({ version: i + 1, kid: `${base}#v${i + 1}`, kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'file', publicParts: [] })),
  });
  for (const versions of [1, 2, 8]) await store.commit({ put: () => keyOf(versions), intent: 10 * versions });
  // Two at once, with what is of the whole key: that stands with the first version, and 10 is newer than 9.
  await store.commit({ put: () => keyOf(10, { a: 'b' }), intent: 100 });
  await store.commit({ put: () => keyOf(10, { a: 'c' }) });
  expect(await store.changesAbove(1)).toEqual(new Map([
    [2, { intent: 20, kid: `${base}#v2` }], [3, { intent: 80, kid: `${base}#v8` }],
    [4, { intent: 100, kid: `${base}#v10` }], [5, { intent: undefined, kid: `${base}#v1` }],
  ]));
  expect(await store.changesAbove(5)).toEqual(new Map());
});
