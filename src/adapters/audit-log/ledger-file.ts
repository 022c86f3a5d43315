import type { FrozenLedger, Ledger, LedgerHead } from './ledger.ts';
import { createHash, timingSafeEqual } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { createKeyCounts } from './key-counts.ts';
import { createLedger } from './ledger.ts';

/** The ledger and the tree as they stood at one size: where a start goes on from. */
export interface SealedState {
  readonly size: number;
  readonly rootHash: Buffer;
  readonly ledger: Ledger;
}

type Mac = (bytes: Buffer) => Buffer;

interface HeadLine extends LedgerHead {
  readonly v: number;
  readonly size: number;
  readonly root_hash: string;
}

const VERSION = 1;
const KEYS_AT_ONCE = 512;
const NEWLINE = 0x0a;

/**
 * JSON lines: the head, then `[base, seq, base, seq, …]`, last a MAC over all before it (docs/formats/log.md). Of a
 * million keys it is 70 MB, given in pieces: between them the event loop goes on, and no two are in memory.
 */
export async function* encodeState(size: number, rootHash: Buffer, { head, keySeqs }: FrozenLedger, mac: Mac): AsyncGenerator<Buffer, void, undefined> {
  const first: HeadLine = { v: VERSION, size, root_hash: rootHash.toString('base64'), ...head };
  const hash = createHash('sha256');
  let lines = line(first);
  let slice: (string | number)[] = [];
  for (const [base, seq] of keySeqs.entries()) {
    // Taken back after a failed write.
    if (seq === 0) continue;
    slice.push(base, seq);
    if (slice.length < 2 * KEYS_AT_ONCE) continue;
    const piece = Buffer.from(lines + line(slice));
    hash.update(piece);
    yield piece;
    lines = '';
    slice = [];
    await turn();
  }
  lines += line(slice);
  yield Buffer.from(lines + line(mac(hash.update(lines).digest()).toString('base64')));
}

/** Undefined when it is not as we wrote it: then everything is rebuilt from the entries. */
export function decodeState(bytes: Buffer, mac: Mac): SealedState | undefined {
  const macAt = bytes.lastIndexOf(NEWLINE, bytes.length - 2) + 1;
  const signed = bytes.subarray(0, macAt);
  const given = macLine(bytes.subarray(macAt));
  const expected = mac(createHash('sha256').update(signed).digest());
  const stated = Buffer.from(typeof given === 'string' ? given : '', 'base64');
  if (stated.length !== expected.length || !timingSafeEqual(stated, expected)) return undefined;
  // From here on it is our own writing.
  const keySeqs = createKeyCounts();
  let first: HeadLine | undefined;
  for (const value of jsonLines(signed)) {
    if (first === undefined) {
      first = value as HeadLine;
      if (first.v !== VERSION) return undefined;
      continue;
    }
    const slice = value as (string | number)[];
    for (let i = 0; i < slice.length; i += 2) keySeqs.set(slice[i] as string, slice[i + 1] as number);
  }
  if (first === undefined) return undefined;
  return { size: first.size, rootHash: Buffer.from(first.root_hash, 'base64'), ledger: createLedger({ ...first, announced: first.announced }, keySeqs) };
}

function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function macLine(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** One by one: of a million keys, all lines together would take 400 MB. */
function* jsonLines(bytes: Buffer): Generator {
  for (let from = 0, to = bytes.indexOf(NEWLINE); to >= 0; from = to + 1, to = bytes.indexOf(NEWLINE, from)) yield JSON.parse(bytes.toString('utf8', from, to));
}
