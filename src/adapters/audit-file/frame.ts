import type { Frame } from '../audit-log/storage.ts';
import { blake3 } from '@napi-rs/blake-hash';
import { splitBundle } from '../../core/log/tiles.ts';

/**
 * A frame of the journal, one group of entries, one write (docs/formats/log.md):
 * `RKJ1` | first index u64 | count u32 | payload bytes u32 | BLAKE3 of these 20 and the payload, 16 | payload.
 *
 * All in front of an `RKJ1` was on the disk when it was written, so what is damaged in front of one was damaged later,
 * and is no torn write. `RKJ+` says nothing of what is in front of it.
 */
export interface ReadFrame {
  readonly firstIndex: number;
  readonly entries: readonly Buffer[];
  /** Where the next one begins. */
  readonly end: number;
}

const MAGIC = { afterFlush: Buffer.from('RKJ1'), beforeFlush: Buffer.from('RKJ+') } as const;
const MAGIC_BYTES = 4;
const HASHED_BYTES = 20;
const CHECK_BYTES = 16;
const HEADER_BYTES = HASHED_BYTES + CHECK_BYTES;
const AT = { firstIndex: MAGIC_BYTES, count: 12, payloadBytes: 16, check: HASHED_BYTES } as const;

/** For the header. */
export const FRAME_HEAD_ROOM = HEADER_BYTES;

/** Fills in the head room. */
export function sealFrame({ firstIndex, count, bytes }: Frame, isAfterFlush: boolean): void {
  // The hash runs over header and payload: the header is written in front of the payload for it, then to its place.
  const header = bytes.subarray(CHECK_BYTES, HEADER_BYTES);
  header.set(isAfterFlush ? MAGIC.afterFlush : MAGIC.beforeFlush);
  header.writeBigUInt64BE(BigInt(firstIndex), AT.firstIndex);
  header.writeUInt32BE(count, AT.count);
  header.writeUInt32BE(bytes.length - HEADER_BYTES, AT.payloadBytes);
  const check = blake3(bytes.subarray(CHECK_BYTES));
  bytes.copyWithin(0, CHECK_BYTES, HEADER_BYTES);
  check.copy(bytes, AT.check, 0, CHECK_BYTES);
}

/** The frame at this offset; undefined when there is no whole and authentic one. */
export function readFrame(file: Buffer, offset: number): ReadFrame | undefined {
  const payloadAt = offset + HEADER_BYTES;
  const magic = file.subarray(offset, offset + MAGIC_BYTES);
  if (payloadAt > file.length || !(magic.equals(MAGIC.afterFlush) || magic.equals(MAGIC.beforeFlush))) return undefined;
  const header = file.subarray(offset, offset + HASHED_BYTES);
  const end = payloadAt + header.readUInt32BE(AT.payloadBytes);
  if (end > file.length) return undefined;
  const payload = file.subarray(payloadAt, end);
  const check = blake3(Buffer.concat([header, payload])).subarray(0, CHECK_BYTES);
  const entries = splitBundle(payload);
  if (!check.equals(file.subarray(offset + AT.check, payloadAt)) || entries?.length !== header.readUInt32BE(AT.count)) return undefined;
  return { firstIndex: Number(header.readBigUInt64BE(AT.firstIndex)), entries, end };
}

/** Behind a damaged frame: the next whole one that tells that all before it was on the disk once. */
export function findFlushedFrame(file: Buffer, from: number): ReadFrame | undefined {
  for (let at = file.indexOf(MAGIC.afterFlush, from); at !== -1; at = file.indexOf(MAGIC.afterFlush, at + 1)) {
    const frame = readFrame(file, at);
    if (frame !== undefined) return frame;
  }
  return undefined;
}
