import { TpmFault } from './faults.ts';

/** What goes to a TPM: big-endian, a TPM2B being a length of two bytes and as much behind it (TPM 2.0 Part 2 §4). */
export const u8 = (value: number): Buffer => Buffer.of(value);

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function sized(bytes: Uint8Array): Buffer {
  return Buffer.concat([u16(bytes.length), bytes]);
}

/** What comes from one, read once from front to back. Throws `TpmFault` where there is less than it says. */
export interface TpmReader {
  u8(): number;
  u16(): number;
  u32(): number;
  u64(): bigint;
  /** A copy, so that zeroing it zeroes nothing else. */
  bytes(length: number): Buffer;
  sized(): Buffer;
  left(): number;
}

export function readerOf(from: Buffer): TpmReader {
  let at = 0;
  const take = (length: number): number => {
    const start = at;
    if (from.length - at < length) throw new TpmFault('answer', 'the TPM gave an answer that is cut short');
    at += length;
    return start;
  };
  const reader: TpmReader = {
    u8: () => from.readUInt8(take(1)),
    u16: () => from.readUInt16BE(take(2)),
    u32: () => from.readUInt32BE(take(4)),
    u64: () => from.readBigUInt64BE(take(8)),
    bytes(length) {
      const start = take(length);
      return Buffer.from(from.subarray(start, start + length));
    },
    sized: () => reader.bytes(reader.u16()),
    left: () => from.length - at,
  };
  return reader;
}
