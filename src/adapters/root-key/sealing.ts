/** Keys derived from a key, and what is done with them. With its neighbours here the only reader of the root key. */
import type { LockedMemory } from '../system/locked-memory.ts';
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { hmacSha256 } from '../../core/macaroon/hmac.ts';
import { REVEAL } from '../../core/reveal.ts';
import { Secret } from '../../core/secret.ts';

export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'chacha20-poly1305';

/** A secret as it lies on disk: RFC 8439, the tag behind the ciphertext. */
export interface Sealed {
  readonly nonce_b64: string;
  readonly sealed_b64: string;
}

/** What a derived key is for; HKDF-SHA256 with `info` naming the use (RFC 5869 §3.2) and the instance as salt. */
export interface KeyUse {
  readonly info: string;
  readonly instanceId: string;
}

export function deriveKey(from: Secret, { info, instanceId }: KeyUse, memory: LockedMemory): Secret {
  return lockSecret(Buffer.from(hkdfSync('sha256', from.read(REVEAL), instanceId, info, KEY_BYTES)), memory);
}

/** The same secret once more, in locked memory of its own. */
export function copyOf(secret: Secret, memory: LockedMemory): Secret {
  return lockSecret(Buffer.from(secret.read(REVEAL)), memory);
}

/** Moves bytes into locked memory and zeroes where they were. */
export function lockSecret(bytes: Buffer, memory: LockedMemory): Secret {
  const slot = memory.take(bytes.length);
  bytes.copy(slot);
  bytes.fill(0);
  return new Secret(slot, memory.give);
}

/** Seals a secret to its place, which `aad` describes. The nonce is random: a key seals a handful of times in its life. */
export function seal(key: Secret, secret: Secret, aad: string): Sealed {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key.read(REVEAL), nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(aad));
  const sealed = Buffer.concat([cipher.update(secret.read(REVEAL)), cipher.final(), cipher.getAuthTag()]);
  return { nonce_b64: nonce.toString('base64'), sealed_b64: sealed.toString('base64') };
}

/** The secret in locked memory; undefined when key, place or bytes are not the ones it was sealed with. */
export function open(key: Secret, { nonce_b64, sealed_b64 }: Sealed, aad: string, memory: LockedMemory): Secret | undefined {
  const nonce = Buffer.from(nonce_b64, 'base64');
  const sealed = Buffer.from(sealed_b64, 'base64');
  if (nonce.length !== NONCE_BYTES || sealed.length <= TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key.read(REVEAL), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(aad));
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const plaintext = decipher.update(sealed.subarray(0, -TAG_BYTES));
  try {
    decipher.final();
    return lockSecret(plaintext, memory);
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}

/** HMAC-SHA256 under a key of 32 bytes. */
export function macUnder(key: Secret, bytes: Uint8Array): Buffer {
  return hmacSha256(key.read(REVEAL), bytes);
}
