import { isShort } from './strict-text.ts';

/** What a cosigner says of a tree (C2SP tlog-cosignature). */
export interface CosignedTree {
  readonly cosignerName: string;
  /** POSIX seconds. */
  readonly timestampS: number;
  readonly origin: string;
  /** A checkpoint is the subtree from the first entry on. */
  readonly start: 0;
  /** The tree size. */
  readonly end: number;
  readonly hash: Uint8Array;
}

export interface TimestampedSignature {
  readonly timestampS: number;
  readonly signature: Buffer;
}

const LABEL = Buffer.from('subtree/v1\n\0', 'latin1');
const TIMESTAMP_BYTES = 8;

/** `cosigned_message`: the bytes under an ML-DSA-44 cosignature (0x06). It binds name and time, and the tree without the text of the note. */
export function cosignedMessage({ cosignerName, timestampS, origin, start, end, hash }: CosignedTree): Buffer {
  return Buffer.concat([LABEL, shortString(cosignerName), u64(timestampS), shortString(origin), u64(start), u64(end), hash]);
}

/** The bytes under an Ed25519 cosignature (0x04), as witnesses make them: two lines and the text of the note. */
export function cosignatureV1Message(timestampS: number, text: string): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${timestampS}\n${text}`, 'utf8');
}

/** `timestamped_signature`: what stands in the signature line of either. */
export function encodeTimestamped({ timestampS, signature }: TimestampedSignature): Buffer {
  return Buffer.concat([u64(timestampS), signature]);
}

export function parseTimestamped(bytes: Buffer): TimestampedSignature | undefined {
  if (bytes.length <= TIMESTAMP_BYTES) return undefined;
  const timestampS = Number(bytes.readBigUInt64BE(0));
  return Number.isSafeInteger(timestampS) ? { timestampS, signature: bytes.subarray(TIMESTAMP_BYTES) } : undefined;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function shortString(text: string): Buffer {
  if (!isShort(text)) throw new RangeError('a name has 1 to 255 bytes');
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}
