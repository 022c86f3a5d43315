import { hash } from 'node:crypto';

export const HASH_BYTES = 32;

/** RFC 6962 §2.1: a leaf and a node start with different bytes, so that neither can be passed off as the other. */
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** An entry is at most this long: its length has two bytes in a bundle (tlog-tiles). */
export const ENTRY_BYTES_MAX = 0xffff;

// The prefix stands in front of a buffer that is used again for each hash: nothing here waits, so nothing overlaps.
const leafInput = Buffer.alloc(1 + ENTRY_BYTES_MAX, LEAF_PREFIX);
const nodeInput = Buffer.alloc(1 + 2 * HASH_BYTES, NODE_PREFIX);

export function leafHash(entry: Uint8Array): Buffer {
  if (entry.length > ENTRY_BYTES_MAX) throw new RangeError(`an entry has at most ${ENTRY_BYTES_MAX} bytes`);
  leafInput.set(entry, 1);
  return sha256(leafInput.subarray(0, 1 + entry.length));
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES) throw new RangeError('a node is made of two hashes');
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + HASH_BYTES);
  return sha256(nodeInput);
}

/** The root of a tree without entries. */
export const EMPTY_ROOT: Buffer = sha256(Buffer.alloc(0));

/** By way of hex: half as fast again as asking for a buffer, which is allocated outside the pool. */
export function sha256(bytes: Uint8Array): Buffer {
  return Buffer.from(hash('sha256', bytes, 'hex'), 'hex');
}
