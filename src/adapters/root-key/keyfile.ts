import type { LockedMemory } from '../system/locked-memory.ts';
import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { decodeBase64Into } from '../../core/base64.ts';
import { Secret } from '../../core/secret.ts';
import { createDurably } from '../files/durable-file.ts';
import { KEY_BYTES, lockSecret } from './sealing.ts';

const OTHERS = 0o077;
const NEWLINE = 0x0a;

/** A new key file: 32 random bytes as base64, for its owner alone. `EEXIST` when the name is taken. */
export async function makeKeyfile(path: string, memory: LockedMemory): Promise<Secret> {
  const key = randomBytes(KEY_BYTES);
  const text = Buffer.from(`${key.toString('base64')}\n`, 'latin1');
  try {
    await createDurably(path, text);
    return lockSecret(key, memory);
  } finally {
    text.fill(0);
    key.fill(0);
  }
}

/** The key of a key file. Refused when anyone but its owner may read it; what stands in a wrong one is not repeated. */
export function readKeyfile(path: string, memory: LockedMemory, setting = 'backends.file.keyfile_path'): Secret {
  const fd = openKeyfile(path, setting);
  try {
    // The open file is asked, not the path: nobody can put another one there in between.
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new Error(`the key file ${path} is not a file`);
    if ((stats.mode & OTHERS) !== 0) throw new Error(`others may read the key file ${path}: chmod 600 it, and think of the key as known to them`);
    const bytes = readFileSync(fd);
    const slot = memory.take(KEY_BYTES);
    const isKey = decodeBase64Into(slot, bytes.at(-1) === NEWLINE ? bytes.subarray(0, -1) : bytes);
    bytes.fill(0);
    if (isKey) return new Secret(slot, memory.give);
    memory.give(slot);
    throw new Error(`${path} is not a key file: 32 bytes as base64, as ron-kms init writes one`);
  } finally {
    closeSync(fd);
  }
}

function openKeyfile(path: string, setting: string): number {
  try {
    return openSync(path, 'r');
  } catch (fault) {
    throw new Error(`the key file ${path} cannot be read: put it in place, or say with ${setting} where it is`, { cause: fault });
  }
}
