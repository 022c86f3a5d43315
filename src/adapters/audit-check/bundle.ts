import type { LogFault } from './faults.ts';
import { HASH_BYTES, leafHash } from '../../../client/src/log/hash.ts';

/** The entries of a bundle by where they stand in it, as far as they can be told apart. */
export interface ReadBundle {
  /** Where each entry begins and ends. */
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  /** Leaf hash behind leaf hash. */
  readonly leaves: Buffer;
  /** What is behind the last entry that was asked for. */
  readonly restBytes: number;
}

const LENGTH_BYTES = 2;

/** Walks a bundle over at most `width` entries, and hashes each. */
export function readBundle(bytes: Buffer, width: number): ReadBundle {
  const starts: number[] = [];
  const ends: number[] = [];
  const leaves = Buffer.allocUnsafe(width * HASH_BYTES);
  let at = 0;
  while (starts.length < width && at + LENGTH_BYTES <= bytes.length) {
    const start = at + LENGTH_BYTES;
    const end = start + bytes.readUInt16BE(at);
    if (end > bytes.length) break;
    leaves.set(leafHash(bytes.subarray(start, end)), starts.length * HASH_BYTES);
    starts.push(start);
    ends.push(end);
    at = end;
  }
  return { starts, ends, leaves: leaves.subarray(0, starts.length * HASH_BYTES), restBytes: bytes.length - at };
}

/** So many entries of a bundle are told one by one; beyond that it is the file that is damaged. */
const NAMED_MAX = 4;

/** Names what is wrong with a bundle, by the hashes of the entries that it should hold. */
export function nameDamage({ leaves, restBytes }: ReadBundle, expected: Buffer, firstIndex: number, file: string): readonly LogFault[] {
  const found = hashesIn(leaves);
  const wanted = hashesIn(expected);
  const wrong = wanted.flatMap((hash, at) => (found[at] === hash ? [] : [at]));
  const [at = wanted.length, other = at] = wrong;
  const fault = (place: number, what: string): LogFault => ({ kind: 'entry', index: firstIndex + place, file, what });

  if (wrong.length === 0) return [{ kind: 'entry', file, what: `has ${restBytes} bytes behind its last entry` }];
  if (at === found.length) return [fault(at, restBytes === 0 ? 'is missing: the file ends before it' : 'has a length that cannot be')];
  if (found.every((hash) => !wanted.includes(hash))) return [fault(0, 'is not of this log, nor is any other in the file')];
  if (wrong.length === 2 && found[at] === wanted[other] && found[other] === wanted[at]) return [fault(at, `has changed places with entry ${firstIndex + other}`)];
  if (isSame(found.slice(at), wanted.slice(at + 1))) return [fault(at, 'was dropped')];
  if (isSame(found.slice(at + 1), wanted.slice(at, -1))) return [fault(at, 'was put in; it is not of this log')];
  if (wrong.length > NAMED_MAX) return [fault(at, `is the first of ${wrong.length} in this file that are not what was logged`)];
  return wrong.map((place) => fault(place, 'is not what was logged'));
}

/** The place of the first hash that is not as it should be. */
export function firstWrongHash(found: Buffer, expected: Buffer): number {
  const wanted = hashesIn(expected);
  return hashesIn(found).findIndex((hash, at) => hash !== wanted[at]);
}

function hashesIn(bytes: Buffer): readonly string[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, at) => bytes.toString('latin1', at * HASH_BYTES, (at + 1) * HASH_BYTES));
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length > 0 && a.length === b.length && a.every((hash, at) => hash === b[at]);
}
