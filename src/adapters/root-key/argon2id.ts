import type { LockedMemory } from '../system/locked-memory.ts';
import { randomBytes } from 'node:crypto';
import sodium from 'sodium-native';
import { REVEAL } from '../../core/reveal.ts';
import { Secret } from '../../core/secret.ts';
import { KEY_BYTES } from './sealing.ts';

/** How a passphrase becomes a key, as it stands in the file it opens: Argon2id of version 1.3 (RFC 9106). */
export interface Kdf {
  readonly alg: 'argon2id';
  readonly memory_kib: number;
  readonly passes: number;
  readonly parallelism: 1;
  readonly salt_b64: string;
}

/**
 * Memory and passes of the second recommendation of RFC 9106 §4: what a new file gets, and the least that is opened.
 * Of lanes libsodium has one: a guess costs as much, and cannot be spread over cores. Not OpenSSL's: that one takes
 * its memory from the secure heap, which is there and far too small.
 */
const LEAST = { memory_kib: 65_536, passes: 3 } as const;
/** The most that is opened: a changed file must not take the machine down. */
const MOST = { memory_kib: 4 * 1024 ** 2, passes: 64 } as const;
const LANES = 1;

export function newKdf(): Kdf {
  return { alg: 'argon2id', ...LEAST, parallelism: LANES, salt_b64: randomBytes(sodium.crypto_pwhash_SALTBYTES).toString('base64') };
}

export function isKdf(value: unknown): value is Kdf {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 5) return false;
  const { alg, parallelism, salt_b64: salt, memory_kib: memoryKiB, passes } = value as Record<string, unknown>;
  return alg === 'argon2id' && parallelism === LANES
    && typeof salt === 'string' && Buffer.from(salt, 'base64').length === sodium.crypto_pwhash_SALTBYTES
    && isWithin(memoryKiB, LEAST.memory_kib, MOST.memory_kib) && isWithin(passes, LEAST.passes, MOST.passes);
}

/** The key that the passphrase gives, in locked memory. On a thread of the pool: it takes a tenth of a second and more. */
export async function keyFromPassphrase(passphrase: Secret, { memory_kib: memoryKiB, passes, salt_b64: salt }: Kdf, memory: LockedMemory): Promise<Secret> {
  const key = memory.take(KEY_BYTES);
  try {
    await sodium.crypto_pwhash_async(key, passphrase.read(REVEAL), Buffer.from(salt, 'base64'), passes, memoryKiB * 1024, sodium.crypto_pwhash_ALG_ARGON2ID13);
  } catch (fault) {
    memory.give(key);
    throw new Error(`argon2id did not run: it needs ${Math.ceil(memoryKiB / 1024)} MiB of memory`, { cause: fault });
  }
  return new Secret(key, memory.give);
}

function isWithin(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most;
}
