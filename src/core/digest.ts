import { blake3 } from '@napi-rs/blake-hash';

/** BLAKE3 as 64 lower-case hex digits. */
export function blake3Hex(bytes: Uint8Array | string): string {
  return blake3(typeof bytes === 'string' ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).toString('hex');
}
