import type { LockedMemory } from '../system/locked-memory.ts';
import { randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import sodium from 'sodium-native';
import { REVEAL } from '../../core/reveal.ts';
import { Secret } from '../../core/secret.ts';
import { KEY_BYTES, lockSecret } from './sealing.ts';

/** How a passphrase becomes a key, as it stands in the file it opens. */
export type Kdf = Argon2id | Scrypt;
export type KdfName = Kdf['alg'];

/** Argon2id of version 1.3 (RFC 9106). */
interface Argon2id {
  readonly alg: 'argon2id';
  readonly memory_kib: number;
  readonly passes: number;
  readonly parallelism: 1;
  readonly salt_b64: string;
}

/** scrypt (RFC 7914): N, r and p are its cost, block size and parallelism. */
interface Scrypt {
  readonly alg: 'scrypt';
  readonly n: number;
  readonly r: 8;
  readonly p: number;
  readonly salt_b64: string;
}

interface KdfRow<K extends Kdf> {
  /** What a new file gets, and the least that is opened. */
  readonly least: Omit<K, 'salt_b64'>;
  /** Whether these are its parameters, none too small to keep a guesser out or too large for a machine: a changed file must not take it down. */
  isWithin(given: Record<string, unknown>): boolean;
  /** 32 bytes, in locked memory. It takes a tenth of a second and more. */
  derive(passphrase: Buffer, kdf: K, memory: LockedMemory): Promise<Secret>;
}

const SALT_BYTES = 16;
const MIB = 1024 ** 2;
/** Once more, as small as it can be and of nothing: it puts its own where the run before left the key on the stack. */
const OVERWRITING = { into: Buffer.alloc(KEY_BYTES), from: Buffer.from('nothing'), passes: 1, bytes: 8192 } as const;
const scryptAsync = promisify<Buffer, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

const rows: { readonly [N in KdfName]: KdfRow<Extract<Kdf, { alg: N }>> } = {
  /**
   * Memory and passes of the second recommendation of RFC 9106 §4. Of lanes libsodium has one: a guess costs as much, and cannot be
   * spread over cores. Not OpenSSL's: that one takes its memory from the secure heap, which is there and far too small. Not on a
   * thread of the pool, on whose stack the key would lie until something else is deep enough there.
   */
  argon2id: {
    least: { alg: 'argon2id', memory_kib: 65_536, passes: 3, parallelism: 1 },
    isWithin: ({ memory_kib: memoryKiB, passes, parallelism }) => parallelism === 1 && isBetween(memoryKiB, 65_536, 4 * MIB) && isBetween(passes, 3, 64),
    async derive(passphrase, { memory_kib: memoryKiB, passes, salt_b64: salt }, memory) {
      const key = memory.take(KEY_BYTES);
      try {
        const runs = [{ into: key, from: passphrase, passes, bytes: memoryKiB * 1024 }, OVERWRITING];
        for (const { into, from, passes: times, bytes } of runs) sodium.crypto_pwhash(into, from, Buffer.from(salt, 'base64'), times, bytes, sodium.crypto_pwhash_ALG_ARGON2ID13);
      } catch (fault) {
        memory.give(key);
        throw new Error(`argon2id did not run: it needs ${Math.ceil(memoryKiB / 1024)} MiB of memory`, { cause: fault });
      }
      return new Secret(key, memory.give);
    },
  },
  /** 128 MiB, as OWASP recommends for it. */
  scrypt: {
    least: { alg: 'scrypt', n: 2 ** 17, r: 8, p: 1 },
    isWithin: ({ n, r, p }) => r === 8 && isBetween(p, 1, 16) && isBetween(n, 2 ** 17, 2 ** 21) && Number.isInteger(Math.log2(n as number)),
    async derive(passphrase, { n, r, p, salt_b64: salt }, memory) {
      const key = await scryptAsync(passphrase, Buffer.from(salt, 'base64'), KEY_BYTES, { N: n, r, p, maxmem: 128 * r * (n + p + 2) + MIB }).catch((fault: unknown) => {
        throw new Error(`scrypt did not run: it needs ${Math.ceil((128 * n * r) / MIB)} MiB of memory`, { cause: fault });
      });
      return lockSecret(key, memory);
    },
  },
};

export const kdfNames = Object.keys(rows) as readonly KdfName[];

export function newKdf(name: KdfName): Kdf {
  return { ...rows[name].least, salt_b64: randomBytes(SALT_BYTES).toString('base64') };
}

export function isKdf(value: unknown): value is Kdf {
  if (typeof value !== 'object' || value === null) return false;
  const given = value as Record<string, unknown>;
  const row = kdfNames.includes(given['alg'] as KdfName) ? rows[given['alg'] as KdfName] : undefined;
  const salt = given['salt_b64'];
  return row !== undefined && Object.keys(value).length === Object.keys(row.least).length + 1
    && typeof salt === 'string' && Buffer.from(salt, 'base64').length === SALT_BYTES && row.isWithin(given);
}

/** Another function than is wanted, or less of it than a new file gets. */
export function isOutdated(kdf: Kdf, wanted: KdfName): boolean {
  const least: Readonly<Record<string, unknown>> = rows[wanted].least;
  return kdf.alg !== wanted || Object.entries(kdf).some(([name, value]) => typeof value === 'number' && value < Number(least[name]));
}

export function keyFromPassphrase(passphrase: Secret, kdf: Kdf, memory: LockedMemory): Promise<Secret> {
  // The row of its own name takes it.
  return rows[kdf.alg].derive(passphrase.read(REVEAL), kdf as never, memory);
}

function isBetween(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most;
}
