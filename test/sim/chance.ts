import type { Random } from '../../src/ports/random.ts';
import { blake3 } from '@napi-rs/blake-hash';

/** Everything that is drawn comes from one seed. */
export interface Chance {
  /** From 0 to below 1. */
  next(): number;
  /** An integer from 0 to below `count`. */
  below(count: number): number;
  /** True so many times of a hundred. */
  percent(of: number): boolean;
  one<T>(items: readonly T[]): T;
  bytes(length: number): Buffer;
}

/** sfc32: small, fast, and of no use for secrets. */
export function createChance(seed: string): Chance {
  const start = Buffer.from(blake3(seed));
  let a = start.readInt32LE(0);
  let b = start.readInt32LE(4);
  let c = start.readInt32LE(8);
  let counter = start.readInt32LE(12);
  const word = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  const next = (): number => word() / 2 ** 32;
  const below = (count: number): number => Math.floor(next() * count);
  return {
    next, below,
    percent: (of) => next() * 100 < of,
    one<T>(items: readonly T[]): T {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error('there is nothing to draw from');
      return item;
    },
    bytes(length) {
      const bytes = Buffer.allocUnsafe(length);
      for (let at = 0; at < length; at += 4) {
        const drawn = word();
        for (let of = 0; of < 4 && at + of < length; of++) bytes[at + of] = (drawn >>> (8 * of)) & 255;
      }
      return bytes;
    },
  };
}

/** The generator of the service, from the same seed; ids carry the time that it has. */
export function randomFrom(chance: Chance, wallMs: () => number): Random {
  return {
    bytes: chance.bytes,
    uuidv4: () => uuid(chance.bytes(16), 4),
    uuidv7() {
      const bytes = chance.bytes(16);
      bytes.writeUIntBE(wallMs(), 0, 6);
      return uuid(bytes, 7);
    },
    chance: chance.next,
    isHealthy: () => true,
  };
}

function uuid(bytes: Buffer, version: number): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | (version << 4);
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
