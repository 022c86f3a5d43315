import type { FileStore } from '../../src/adapters/store-file/store.ts';
import type { HeldRootKey } from '../../src/adapters/root-key/root-keys.ts';
import type { KeyRecord, VersionRecord } from '../../src/core/key/record.ts';
import { createHash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { openFileStore } from '../../src/adapters/store-file/store.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { systemProcesses } from '../../src/adapters/system/processes.ts';

export const storeMemory = createLockedMemory();
const heldRootKeys: readonly HeldRootKey[] = [{ epoch: FIRST_EPOCH, key: makeRootKey(storeMemory) }];

export function openStore(directory: string, { held = heldRootKeys, instanceId = 'an instance' }: { readonly held?: readonly HeldRootKey[]; readonly instanceId?: string } = {}): Promise<FileStore> {
  return openFileStore({ directory, rootKeys: rootKeysOf(held, instanceId, storeMemory), mayCreate: true, cacheKeysMax: 4, processes: systemProcesses });
}

/** Bytes that a test can tell again. */
function bytesOf(name: string, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(name).digest();
}

export function baseOf(number: number): string {
  return `core/audit/ed25519+ml-dsa/01890000-0000-7000-8000-${String(number).padStart(12, '0')}`;
}

/** A key of two parts, one of them large, as a mutation of this generation makes it. */
export function keyOf(number: number, change: Partial<KeyRecord> = {}): (generation: number) => KeyRecord {
  const base = baseOf(number);
  return (generation) => ({ base, tenant: 'core', purpose: 'audit', alg: 'ed25519+ml-dsa', input: 'b3', labels: {}, createdAtMs: 1, versions: [versionOf(base, 1, generation)], ...change });
}

function versionOf(base: string, version: number, generation: number): VersionRecord {
  const kid = `${base}#v${version}`;
  return {
    version, kid, kidHash: '', state: 'enabled', createdAtMs: 1, attestationClass: 'file', sealedGeneration: generation, custodyBlob: bytesOf(`sealed ${kid}`, 102),
    publicParts: [{ alg: 'ed25519', bytes: bytesOf(`a ${kid}`, 32) }, { alg: 'ml-dsa', parameterSet: 'ML-DSA-65', bytes: bytesOf(`b ${kid}`, 1952) }],
  };
}

/** What somebody with a SQLite of their own does to the file. */
export function tamper(directory: string, change: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(join(directory, 'keys.db'));
  try {
    change(database);
  } finally {
    database.close();
  }
}

/** Every row of every table. */
export function contentOf(directory: string): string {
  const database = new DatabaseSync(join(directory, 'keys.db'), { readOnly: true });
  try {
    const tables = ['records', 'public_parts', 'changes', 'nonces', 'operations', 'head'];
    return JSON.stringify(tables.map((table) => database.prepare(`SELECT * FROM ${table}`).all().map((row) => Object.values(row).map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value))))));
  } finally {
    database.close();
  }
}
