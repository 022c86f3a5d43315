import { readFileSync } from 'node:fs';
import { Secret } from '../../core/secret.ts';
import { decodeBase64 } from '../../core/base64.ts';
import { parseStrictJson } from '../../core/strict-json.ts';
import { deriveMacaroonKey } from '../../core/macaroon/chain.ts';
import type { LockedMemory } from '../system/locked-memory.ts';

/** Macaroon keys by root key id, in locked memory; the lent secrets themselves are not kept. */
export type Keyset = ReadonlyMap<string, Secret>;

const ID = /^[A-Za-z0-9_-]{1,64}$/;
const SECRET_BYTES_MIN = 16;

/** `{"keys":[{"id","secret_b64"}]}`; throws on anything else, without saying what stood there. */
export function parseKeyset(bytes: Buffer, memory: LockedMemory): Keyset {
  const document = parseStrictJson(bytes);
  if (!('keys' in document) || !Array.isArray(document.keys) || Object.keys(document).length !== 1) throw notAKeyset();
  const keys = new Map<string, Secret>();
  for (const row of document.keys as unknown[]) {
    if (!isRow(row) || keys.has(row.id)) throw notAKeyset();
    const secret = decodeBase64(row.secret_b64);
    if (secret.length < SECRET_BYTES_MIN) throw new Error('a key of the key set is shorter than 16 bytes');
    keys.set(row.id, lockMacaroonKey(secret, memory));
  }
  return keys;
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

/** The macaroon key of a lent secret, in locked memory; the secret itself is zeroed. */
export function lockMacaroonKey(secret: Buffer, memory: LockedMemory): Secret {
  const key = deriveMacaroonKey(secret);
  const slot = memory.take(key.length);
  key.copy(slot);
  key.fill(0);
  secret.fill(0);
  return new Secret(slot);
}

function isRow(row: unknown): row is { id: string; secret_b64: string } {
  return typeof row === 'object' && row !== null && Object.keys(row).length === 2
    && 'id' in row && typeof row.id === 'string' && ID.test(row.id)
    && 'secret_b64' in row && typeof row.secret_b64 === 'string';
}

function notAKeyset(): Error {
  return new Error('a key set is {"keys":[{"id","secret_b64"}]}, each id once');
}
