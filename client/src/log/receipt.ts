import type { Checkpoint } from './checkpoint.ts';
import type { VerifierKey } from './vkey.ts';
import { ENTRY_BYTES_MAX, HASH_BYTES, leafHash } from './hash.ts';
import { verifyInclusion } from './merkle.ts';
import { readBase64, readDecimal } from './strict-text.ts';
import { verifyCheckpointNote } from './verify-note.ts';

/** A C2SP tlog-proof. The service always gives the entry with it. */
export interface Receipt {
  readonly entry?: Buffer;
  readonly index: number;
  /** RFC 6962 audit path, from the leaf's neighbour up. */
  readonly proof: readonly Buffer[];
  /** A signed checkpoint over the entry. */
  readonly note: string;
}

export type CheckedReceipt = CheckedEntry | { readonly ok: false; readonly why: string };

/** What the log says was done, and the tree head that it stands under. */
export interface CheckedEntry {
  readonly ok: true;
  /** The bytes that were hashed. */
  readonly entry: Buffer;
  readonly index: number;
  readonly checkpoint: Checkpoint;
  /** The entry as an object. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** When the log signed, POSIX seconds; absent where no ML-DSA-44 key was given. */
  readonly timestampS?: number;
}

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
/** As deep as a tree gets whose size is a number. */
const PROOF_MAX = 53;

export function formatReceipt({ entry, index, proof, note }: Receipt): string {
  const extra = entry === undefined ? [] : [`extra ${entry.toString('base64')}`];
  return [FIRST_LINE, ...extra, `index ${index}`, ...proof.map((hash) => hash.toString('base64')), '', note].join('\n');
}

/** Undefined when it is not a tlog-proof. Nothing of it is true for that: `checkReceipt` says whether it is. */
export function parseReceipt(text: string): Receipt | undefined {
  const split = text.indexOf('\n\n');
  const [first, ...lines] = text.slice(0, Math.max(split, 0)).split('\n');
  const extra = lines[0]?.startsWith('extra ') === true ? lines.shift()?.slice('extra '.length) : undefined;
  const [indexLine = '', ...proofLines] = lines;
  const index = indexLine.startsWith('index ') ? readDecimal(indexLine.slice('index '.length)) : undefined;
  if (first !== FIRST_LINE || index === undefined || proofLines.length > PROOF_MAX) return undefined;
  const entry = extra === undefined ? undefined : readBase64(extra);
  const proof = proofLines.map(readBase64);
  if (entry === undefined && extra !== undefined) return undefined;
  if (!proof.every((hash) => hash?.length === HASH_BYTES)) return undefined;
  return { ...(entry !== undefined && { entry }), index, proof: proof as Buffer[], note: text.slice(split + 2) };
}

/**
 * Whether the log whose keys these are has taken in the entry that the receipt carries. Needs nothing else, and
 * believes nothing but the keys, so take them from where the log was made, not from the service.
 */
export function checkReceipt(text: string, vkeys: readonly VerifierKey[]): CheckedReceipt {
  const receipt = parseReceipt(text);
  if (receipt === undefined) return { ok: false, why: 'this is not a receipt (c2sp.org/tlog-proof@v1)' };
  const { entry, index, proof, note } = receipt;
  if (entry === undefined) return { ok: false, why: 'the receipt does not carry its entry' };
  const verified = verifyCheckpointNote(note, vkeys);
  if ('fault' in verified) return { ok: false, why: verified.fault };
  const { checkpoint, timestampS } = verified;
  const isIncluded = entry.length <= ENTRY_BYTES_MAX && verifyInclusion({ leafHash: leafHash(entry), index, size: checkpoint.size, proof, rootHash: checkpoint.rootHash });
  if (!isIncluded) return { ok: false, why: `the entry is not at index ${index} of the tree that the log signed` };
  const fields = objectOf(entry);
  if (fields === undefined) return { ok: false, why: 'the entry is in the log, and is not a JSON object' };
  return { ok: true, entry, index, checkpoint, fields, ...(timestampS !== undefined && { timestampS }) };
}

function objectOf(entry: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(entry.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
