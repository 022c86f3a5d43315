/** What is hashed and what is MACed (docs/formats/store.md). Integers are big-endian. */
import type { KeyRing } from './mac-keys.ts';
import { hash } from 'node:crypto';
import sodium from 'sodium-native';

export const DIGEST_BYTES = 32;
const MAC_BYTES = 32;
const U64_BYTES = 8;

export const RECORD = 0;
export const NONCES = 1;

/** The first byte of what is MACed: no MAC of one kind of row stands for another. */
const OF_RECORD = Buffer.of(1);
const OF_HEAD = Buffer.of(2);
const OF_OPERATION = Buffer.of(3);
const OF_NONCES = Buffer.of(4);

const NOTHING = Buffer.alloc(0);

export const FIRST_CHAIN = Buffer.alloc(DIGEST_BYTES);

/** What a change says of a record: all of it but what a new root key changes. */
export function recordDigest(kid: string, generation: number, content: string): Buffer {
  return sha256(`${kid}\n${generation}\n${content}`);
}

export function noncesDigest(kid: string, generation: number, reservedEnd: string): Buffer {
  return sha256(`${kid}\n${generation}\n${reservedEnd}`);
}

/** By way of a string, into pooled memory: a start hashes each row twice, and a buffer of its own would cost more than the hash. */
function sha256(content: string | Uint8Array): Buffer {
  return Buffer.from(hash('sha256', content, 'latin1'), 'latin1');
}

export interface Change {
  readonly kind: number;
  readonly recordId: number;
  readonly digest: Uint8Array;
}

const CHANGE_BYTES = 1 + U64_BYTES + DIGEST_BYTES;
const CHAIN_HEAD_BYTES = DIGEST_BYTES + 2 * U64_BYTES;
let link = Buffer.allocUnsafeSlow(CHAIN_HEAD_BYTES + 16 * CHANGE_BYTES);

/** The hash chain, one mutation further: the chain so far, the generation, its intent's index and one (0: none), the changes. */
export function nextChain(chain: Uint8Array, generation: number, intent: number | undefined, changes: readonly Change[]): Buffer {
  const length = CHAIN_HEAD_BYTES + changes.length * CHANGE_BYTES;
  if (length > link.length) link = Buffer.allocUnsafeSlow(2 * length);
  link.set(chain, 0);
  writeU64(link, generation, DIGEST_BYTES);
  writeU64(link, intent === undefined ? 0 : intent + 1, DIGEST_BYTES + U64_BYTES);
  let at = CHAIN_HEAD_BYTES;
  for (const { kind, recordId, digest } of changes) {
    link[at] = kind;
    writeU64(link, recordId, at + 1);
    link.set(digest, at + 1 + U64_BYTES);
    at += CHANGE_BYTES;
  }
  return sha256(link.subarray(0, length));
}

export function recordMac(key: Buffer, id: number, digest: Uint8Array, sealed: Uint8Array | null): Buffer {
  return mac(key, OF_RECORD, u64(id), digest, sealed ?? NOTHING);
}

export function headMac(key: Buffer, generation: number, chain: Uint8Array): Buffer {
  return mac(key, OF_HEAD, u64(generation), chain);
}

export function operationMac(key: Buffer, scopeHash: Uint8Array, expiresAt: number, body: string): Buffer {
  return mac(key, OF_OPERATION, scopeHash, u64(expiresAt), Buffer.from(body));
}

export function noncesMac(key: Buffer, recordId: number, digest: Uint8Array): Buffer {
  return mac(key, OF_NONCES, u64(recordId), digest);
}

let maced = Buffer.allocUnsafeSlow(1024);

/** BLAKE2b, keyed, 32 bytes (RFC 7693): half the time of HMAC-SHA256, and a start makes one for each record. */
function mac(key: Buffer, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  if (length > maced.length) maced = Buffer.allocUnsafeSlow(2 * length);
  let at = 0;
  for (const part of parts) {
    maced.set(part, at);
    at += part.length;
  }
  const out = Buffer.allocUnsafe(MAC_BYTES);
  sodium.crypto_generichash(out, maced.subarray(0, length), key);
  return out;
}

export function isSameMac(a: Buffer, b: unknown): boolean {
  return b instanceof Uint8Array && b.length === a.length && sodium.sodium_memcmp(a, b);
}

/** Whether a row has the MAC of its epoch; without keys at hand, every row has. */
export function isAuthentic(ring: KeyRing | undefined, epoch: string, mac: unknown, macUnder: (key: Buffer) => Buffer): boolean {
  if (ring === undefined) return true;
  const key = ring.of(epoch);
  return key !== undefined && isSameMac(macUnder(key), mac);
}

const scratch = Buffer.alloc(U64_BYTES);

/** Valid until the next call. */
function u64(value: number): Buffer {
  writeU64(scratch, value, 0);
  return scratch;
}

function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  buffer.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}
