import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
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

keyStoreContract('file', async () => {
  const rootKeys = rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], 'an instance', memory);
  const store = await openFileStore({ directory: mkdtempSync(join(root, 's-')), rootKeys, mayCreate: true, cacheKeysMax: 8, processes: systemProcesses });
  close.push(store.close);
  return store;
});
