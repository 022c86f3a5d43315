/** RFC 6962 and tlog-cosignature once more, word by word over another SHA-256, and keys of a log that signs by noble. */
import type { Checkpoint } from '../../client/src/log/checkpoint.ts';
import type { VerifierKey } from '../../client/src/log/vkey.ts';
import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js';

export interface SlowTree {
  /** MTH(D[start:end]), hex. */
  hash(start: number, end: number): string;
  /** PATH(index, D[size]). */
  path(index: number, size: number): readonly string[];
  /** PROOF(oldSize, D[newSize]). */
  proof(oldSize: number, newSize: number): readonly string[];
}

/** The tree over these leaf inputs. `rangeName` names ranges that have the same hash, so that none is hashed twice. */
export function slowTree(entryAt: (index: number) => Uint8Array, rangeName: (start: number, end: number) => string = (start, end) => `${start}-${end}`): SlowTree {
  const known = new Map<string, string>();

  const hash = (start: number, end: number): string => {
    const name = rangeName(start, end);
    const before = known.get(name);
    if (before !== undefined) return before;
    const made = hex(end === start ? sha256(Buffer.alloc(0)) : hashed(start, end));
    known.set(name, made);
    return made;
  };
  const hashed = (start: number, end: number): Uint8Array => {
    if (end - start === 1) return sha256(Buffer.concat([Buffer.of(0), entryAt(start)]));
    const k = largestPowerBelow(end - start);
    return sha256(Buffer.from(`01${hash(start, start + k)}${hash(start + k, end)}`, 'hex'));
  };

  const path = (m: number, start: number, end: number): readonly string[] => {
    const n = end - start;
    if (n === 1) return [];
    const k = largestPowerBelow(n);
    return m < k ? [...path(m, start, start + k), hash(start + k, end)] : [...path(m - k, start + k, end), hash(start, start + k)];
  };
  const subproof = (m: number, start: number, end: number, b: boolean): readonly string[] => {
    const n = end - start;
    if (m === n) return b ? [] : [hash(start, end)];
    const k = largestPowerBelow(n);
    return m <= k ? [...subproof(m, start, start + k, b), hash(start + k, end)] : [...subproof(m - k, start + k, end, false), hash(start, start + k)];
  };

  return { hash, path: (index, size) => path(index, 0, size), proof: (oldSize, newSize) => subproof(oldSize, 0, newSize, true) };
}

/** Two equal leaves have equal hashes: a tree of one entry repeated is known as far as numbers go. */
export function monotonousTree(entry: Uint8Array): SlowTree {
  return slowTree(() => entry, (start, end) => String(end - start));
}

function largestPowerBelow(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

export interface SlowLogKeys {
  readonly name: string;
  readonly vkeys: readonly [string, string];
  /** Signature lines: Ed25519 over the text, then ML-DSA-44 over the cosigned message. */
  readonly ed25519Line: (text: string) => string;
  readonly mlDsaLine: (checkpoint: Checkpoint, timestampS: number) => string;
  /** An Ed25519 cosignature of the same key, as witnesses make them. */
  readonly witnessLine: (text: string, timestampS: number) => string;
  readonly witnessVkey: string;
}

export function slowLogKeys(name: string, seed: number): SlowLogKeys {
  const secret = Buffer.alloc(32, seed);
  const edPublic = ed25519.getPublicKey(secret);
  const pq = ml_dsa44.keygen(Buffer.alloc(32, seed + 1));
  const idOf = (type: number, publicKey: Uint8Array): Buffer => Buffer.from(sha256(Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), publicKey]))).subarray(0, 4);
  const vkey = (type: number, publicKey: Uint8Array): string => `${name}+${idOf(type, publicKey).toString('hex')}+${base64(Buffer.of(type), publicKey)}`;
  const line = (id: Buffer, ...parts: readonly Uint8Array[]): string => `— ${name} ${base64(id, ...parts)}\n`;
  return {
    name,
    vkeys: [vkey(1, edPublic), vkey(6, pq.publicKey)],
    ed25519Line: (text) => line(idOf(1, edPublic), ed25519.sign(Buffer.from(text), secret)),
    mlDsaLine: (checkpoint, timestampS) => line(idOf(6, pq.publicKey), u64(timestampS), ml_dsa44.sign(slowCosignedMessage(name, timestampS, checkpoint), pq.secretKey)),
    witnessLine: (text, timestampS) => line(idOf(4, edPublic), u64(timestampS), ed25519.sign(Buffer.from(`cosignature/v1\ntime ${timestampS}\n${text}`), secret)),
    witnessVkey: vkey(4, edPublic),
  };
}

/** A checkpoint with both signatures of each of the logs' keys. */
export function slowNote(checkpoint: Checkpoint, timestampS: number, ...keys: readonly SlowLogKeys[]): string {
  const text = slowCheckpoint(checkpoint);
  return `${text}\n${keys.map(({ ed25519Line }) => ed25519Line(text)).join('')}${keys.map(({ mlDsaLine }) => mlDsaLine(checkpoint, timestampS)).join('')}`;
}

export function slowCheckpoint({ origin, size, rootHash }: Checkpoint): string {
  return `${origin}\n${size}\n${base64(rootHash)}\n`;
}

/** `cosigned_message` of tlog-cosignature, for a whole tree. */
export function slowCosignedMessage(cosignerName: string, timestampS: number, { origin, size, rootHash }: Checkpoint): Uint8Array {
  const [name, log] = [Buffer.from(cosignerName), Buffer.from(origin)];
  return Buffer.concat([Buffer.from('737562747265652f76310a00', 'hex'), Buffer.of(name.length), name, u64(timestampS), Buffer.of(log.length), log, u64(0), u64(size), rootHash]);
}

/** Whether noble finds the ML-DSA-44 line of this key good. */
export function nobleAccepts(note: string, { name, keyId, publicKey }: VerifierKey): boolean {
  const [origin = '', size = '', root = ''] = note.split('\n');
  const blob = note.split('\n').filter((line) => line.startsWith(`— ${name} `)).map((line) => Buffer.from(line.split(' ')[2] ?? '', 'base64')).find((bytes) => bytes.subarray(0, 4).equals(keyId));
  if (blob === undefined) return false;
  const message = slowCosignedMessage(name, Number(blob.readBigUInt64BE(4)), { origin, size: Number(size), rootHash: Buffer.from(root, 'base64') });
  return ml_dsa44.verify(blob.subarray(12), message, publicKey);
}

function u64(value: number): Buffer {
  return Buffer.from(value.toString(16).padStart(16, '0'), 'hex');
}

function base64(...parts: readonly Uint8Array[]): string {
  return Buffer.concat(parts).toString('base64');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
