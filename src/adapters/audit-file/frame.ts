import type { Frame } from '../audit-log/storage.ts';
import { blake3 } from '@napi-rs/blake-hash';
import { splitBundle } from '../../core/log/tiles.ts';

/**
 * A frame of the journal, one group of entries, one write (docs/formats/log.md):
 * `RKJ1` | first index u64 | count u32 | payload bytes u32 | BLAKE3 of these 20 and the payload, 16 | payload.
 *
 * All in front of a frame was on the disk when it was written, unless an empty frame stands right before it. So
 * what is damaged in front of one was damaged later, and is no torn write.
 */
export interface ReadFrame {
  readonly firstIndex: number;
  readonly entries: readonly Buffer[];
  /** Where the next one begins. */
  readonly end: number;
}

const MAGIC = Buffer.from('RKJ1');
const HASHED_BYTES = 20;
const CHECK_BYTES = 16;
const HEADER_BYTES = HASHED_BYTES + CHECK_BYTES;
const AT = { firstIndex: 4, count: 12, payloadBytes: 16, check: HASHED_BYTES } as const;

/** For an empty frame and the header of the real one. */
export const FRAME_HEAD_ROOM = 2 * HEADER_BYTES;

/** Fills in the head room, and gives the bytes to write. */
export function sealFrame({ firstIndex, count, bytes }: Frame, isAfterFlush: boolean): Buffer {
  const frame = bytes.subarray(HEADER_BYTES);
  fillHeader(frame, firstIndex, count);
  if (isAfterFlush) return frame;
  fillHeader(bytes.subarray(0, HEADER_BYTES), firstIndex, 0);
  return bytes;
}

function fillHeader(frame: Buffer, firstIndex: number, count: number): void {
  // The hash runs over header and payload: the header is written in front of the payload for it, then to its place.
  const header = frame.subarray(CHECK_BYTES, HEADER_BYTES);
  header.set(MAGIC);
  header.writeBigUInt64BE(BigInt(firstIndex), AT.firstIndex);
  header.writeUInt32BE(count, AT.count);
  header.writeUInt32BE(frame.length - HEADER_BYTES, AT.payloadBytes);
  const check = blake3(frame.subarray(CHECK_BYTES));
  frame.copyWithin(0, CHECK_BYTES, HEADER_BYTES);
  check.copy(frame, AT.check, 0, CHECK_BYTES);
}

/** The frame at this offset; undefined when there is no whole and authentic one. */
export function readFrame(file: Buffer, offset: number): ReadFrame | undefined {
  const payloadAt = offset + HEADER_BYTES;
  if (payloadAt > file.length || file.compare(MAGIC, 0, MAGIC.length, offset, offset + MAGIC.length) !== 0) return undefined;
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
  let isAfterEmpty = false;
  for (let at = file.indexOf(MAGIC, from); at !== -1;) {
    const frame = readFrame(file, at);
    if (frame !== undefined && frame.entries.length > 0 && !isAfterEmpty) return frame;
    isAfterEmpty = frame?.entries.length === 0;
    at = isAfterEmpty ? frame?.end ?? at : file.indexOf(MAGIC, frame?.end ?? at + 1);
  }
  return undefined;
}
