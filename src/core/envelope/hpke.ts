import type { Aead, Kem } from '../algorithm/table.ts';
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, AEAD_TAG_BYTES } from '../algorithm/table.ts';

/**
 * HPKE base mode (RFC 9180 §5.1), HKDF-SHA256, one message per context: the key schedule and the one
 * seal or open after a KEM gave its shared secret. The primitives are OpenSSL's; the composition is
 * held against RFC 9180's vectors and against another implementation in the tests.
 */
const MODE_BASE = 0x00;
const VERSION = Buffer.from('HPKE-v1', 'latin1');
const EMPTY = Buffer.alloc(0);
/** Nsecret of DHKEM(X25519, HKDF-SHA256) (§7.1). */
const SHARED_SECRET_BYTES = 32;

export function hpkeSeal(kem: Kem, aead: Aead, sharedSecret: Buffer, info: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Buffer {
  const { key, nonce } = keySchedule(kem, aead, sharedSecret, info);
  const sealed = aeadSeal(aead, key, nonce, aad, plaintext);
  key.fill(0);
  return sealed;
}

/** The plaintext; undefined when it does not authenticate. */
export function hpkeOpen(kem: Kem, aead: Aead, sharedSecret: Buffer, info: Uint8Array, aad: Uint8Array, ciphertext: Buffer): Buffer | undefined {
  const { key, nonce } = keySchedule(kem, aead, sharedSecret, info);
  const opened = aeadOpen(aead, key, nonce, aad, ciphertext);
  key.fill(0);
  return opened;
}

/** Ciphertext and tag (RFC 5116). */
export function aeadSeal(aead: Aead, key: CipherKey, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv(typed(aead), key, nonce, { authTagLength: AEAD_TAG_BYTES });
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** The plaintext; undefined when it does not authenticate. */
export function aeadOpen(aead: Aead, key: CipherKey, nonce: Uint8Array, aad: Uint8Array, ciphertext: Buffer): Buffer | undefined {
  const tagAt = ciphertext.length - AEAD_TAG_BYTES;
  if (tagAt < 0) return undefined;
  const decipher = createDecipheriv(typed(aead), key, nonce, { authTagLength: AEAD_TAG_BYTES });
  decipher.setAAD(aad, { plaintextLength: tagAt });
  decipher.setAuthTag(ciphertext.subarray(tagAt));
  const plaintext = decipher.update(ciphertext.subarray(0, tagAt));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}

/** ExtractAndExpand of DHKEM (§4.1) over what a Diffie-Hellman gave: for a private key that only gives that out. Zeroes nothing. */
export function dhkemSharedSecret(kem: Kem, dh: Uint8Array, enc: Uint8Array, publicBytes: Uint8Array): Buffer {
  const suiteId = Buffer.from('KEM\0\0', 'latin1');
  suiteId.writeUInt16BE(kem.kemId, 3);
  const prk = labeledExtract(suiteId, EMPTY, 'eae_prk', dh);
  const secret = labeledExpand(suiteId, prk, 'shared_secret', Buffer.concat([enc, publicBytes]), SHARED_SECRET_BYTES);
  prk.fill(0);
  return secret;
}

type CipherKey = Parameters<typeof createCipheriv>[1];

/** node's types keep the two AEADs in overloads of their own; their calls are the same. */
function typed({ cipher }: Aead): 'aes-256-gcm' {
  return cipher as 'aes-256-gcm';
}

/** KeySchedule of §5.1 with an empty PSK; the sequence number is 0, so the nonce is the base nonce. */
function keySchedule(kem: Kem, aead: Aead, sharedSecret: Buffer, info: Uint8Array): { key: Buffer; nonce: Buffer } {
  const suite = suiteOf(kem, aead);
  const context = Buffer.concat([Buffer.of(MODE_BASE), suite.pskIdHash, labeledExtract(suite.id, EMPTY, 'info_hash', info)]);
  const secret = labeledExtract(suite.id, sharedSecret, 'secret', EMPTY);
  const key = labeledExpand(suite.id, secret, 'key', context, AEAD_KEY_BYTES);
  const nonce = labeledExpand(suite.id, secret, 'base_nonce', context, AEAD_NONCE_BYTES);
  secret.fill(0);
  return { key, nonce };
}

interface Suite {
  readonly id: Buffer;
  /** The same for every message of a suite, as base mode has no PSK. */
  readonly pskIdHash: Buffer;
}

const suites = new Map<string, Suite>();

function suiteOf(kem: Kem, aead: Aead): Suite {
  const name = `${kem.name} ${aead.name}`;
  let suite = suites.get(name);
  if (suite === undefined) {
    const id = Buffer.from('HPKE\0\0\0\x01\0\0', 'latin1');
    id.writeUInt16BE(kem.kemId, 4);
    id.writeUInt16BE(aead.aeadId, 8);
    suite = { id, pskIdHash: labeledExtract(id, EMPTY, 'psk_id_hash', EMPTY) };
    suites.set(name, suite);
  }
  return suite;
}

/** §4: LabeledExtract(salt, label, ikm), HKDF-Extract being one HMAC. */
function labeledExtract(suiteId: Buffer, salt: Uint8Array, label: string, ikm: Uint8Array): Buffer {
  return createHmac('sha256', salt).update(VERSION).update(suiteId).update(label, 'latin1').update(ikm).digest();
}

/** §4: LabeledExpand(prk, label, info, L); for L up to 32, HKDF-Expand is its first block. */
function labeledExpand(suiteId: Buffer, prk: Buffer, label: string, info: Buffer, lengthBytes: number): Buffer {
  const length = Buffer.of(0, lengthBytes);
  const block = createHmac('sha256', prk).update(length).update(VERSION).update(suiteId).update(label, 'latin1').update(info).update(Buffer.of(1)).digest();
  return block.subarray(0, lengthBytes);
}
