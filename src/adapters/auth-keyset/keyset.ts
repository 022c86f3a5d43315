import type { LockedMemory } from '../system/locked-memory.ts';
import { readFileSync } from 'node:fs';
import { parseKeysetDocument } from '../../core/macaroon/keyset.ts';
import { Secret } from '../../core/secret.ts';

/** Macaroon keys by root key id, in locked memory; the lent secrets themselves are not kept. */
export type Keyset = ReadonlyMap<string, Secret>;

export function parseKeyset(bytes: Buffer, memory: LockedMemory): Keyset {
  return new Map([...parseKeysetDocument(bytes)].map(([id, key]) => [id, lock(key, memory)]));
}

/** A key set lent through a file descriptor, read to its end. */
export function readKeysetFd(fd: number, memory: LockedMemory): Keyset {
  const bytes = readFileSync(fd);
  try {
    return parseKeyset(bytes, memory);
  } finally {
    bytes.fill(0);
  }
}

/** Moves a macaroon key into locked memory and zeroes where it came from. */
export function lock(key: Buffer, memory: LockedMemory): Secret {
  const slot = memory.take(key.length);
  key.copy(slot);
  key.fill(0);
  return new Secret(slot, memory.give);
}
