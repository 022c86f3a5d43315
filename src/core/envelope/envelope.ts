import type { Aead, Kem, KeySpec } from '../algorithm/table.ts';
import type { Kid } from '../key/kid.ts';
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, aeads, specsOf } from '../algorithm/table.ts';
import { KmsError } from '../errors.ts';
import { KID_CHARS_MAX, parseKid } from '../key/kid.ts';

/**
 * The wrapped-key envelope, normative in docs/formats/envelope.md. All integers big-endian.
 *
 *   "RKW" | format 01 | kem_id u16 | kdf_id u16 | aead_id u16 | kid_length u16 | kid     (header)
 *   enc (KEM keys, length by kem_id) or nonce (AEAD keys, 12) | ciphertext | tag
 *
 * The header is `info` in HPKE and leads the AAD for AEAD keys, so all of it is authenticated.
 */
const MAGIC = Buffer.from('RKW\x01', 'latin1');
const FIXED_BYTES = MAGIC.length + 8;

/** HKDF-SHA256 (RFC 9180 §7.2), and none for AEAD keys. */
const KDF_HKDF_SHA256 = 0x0001;
const NONE = 0x0000;

/** A plaintext key is 1 to 4,096 bytes (DESIGN §3). */
export const PLAINTEXT_BYTES_MAX = 4096;
const ENCAPSULATED_BYTES_MAX = 1568;
export const ENVELOPE_BYTES_MAX = FIXED_BYTES + KID_CHARS_MAX + ENCAPSULATED_BYTES_MAX + PLAINTEXT_BYTES_MAX + AEAD_TAG_BYTES;

export interface Envelope {
  readonly kid: Kid & { readonly version: number };
  readonly aead: Aead;
  readonly header: Buffer;
  /** The encapsulated key (HPKE `enc`) for KEM keys, the nonce for AEAD keys. */
  readonly enc: Buffer;
  /** Ciphertext and tag. */
  readonly ciphertext: Buffer;
}

export function envelopeHeader(kid: string, kem: Kem | undefined, aead: Aead): Buffer {
  const text = Buffer.from(kid, 'latin1');
  const header = Buffer.alloc(FIXED_BYTES + text.length);
  MAGIC.copy(header);
  header.writeUInt16BE(kem?.kemId ?? NONE, 4);
  header.writeUInt16BE(kem === undefined ? NONE : KDF_HKDF_SHA256, 6);
  header.writeUInt16BE(aead.aeadId, 8);
  header.writeUInt16BE(text.length, 10);
  text.copy(header, FIXED_BYTES);
  return header;
}

export function encodeEnvelope(header: Buffer, enc: Uint8Array, ciphertext: Uint8Array): Buffer {
  return Buffer.concat([header, enc, ciphertext]);
}

/** Parses without secrets; whatever is wrong with it is the one `UnwrapFailed`. */
export function parseEnvelope(bytes: Buffer): Envelope {
  if (bytes.length < FIXED_BYTES || bytes.length > ENVELOPE_BYTES_MAX || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw unwrapFailed();
  const headerEnd = FIXED_BYTES + bytes.readUInt16BE(10);
  const kid = parseKid(bytes.toString('latin1', FIXED_BYTES, headerEnd));
  if (headerEnd > bytes.length || kid?.version === undefined) throw unwrapFailed();
  const aead = Object.values(aeads).find((row) => row.aeadId === bytes.readUInt16BE(8));
  const kemId = bytes.readUInt16BE(4);
  const kdfId = bytes.readUInt16BE(6);
  const encBytes = aead === undefined ? undefined : encLength(kid, kemId, kdfId, aead);
  if (aead === undefined || encBytes === undefined || !isCiphertextLength(bytes.length - headerEnd - encBytes)) throw unwrapFailed();
  return {
    kid: { ...kid, version: kid.version },
    aead,
    header: bytes.subarray(0, headerEnd),
    enc: bytes.subarray(headerEnd, headerEnd + encBytes),
    ciphertext: bytes.subarray(headerEnd + encBytes),
  };
}

/** True when the suite in the header is that of the key. */
export function suits(envelope: Envelope, spec: KeySpec): boolean {
  if (spec.kind === 'aead') return envelope.aead === spec.aead && envelope.header.readUInt16BE(4) === NONE;
  return spec.kind === 'kem' && envelope.header.readUInt16BE(4) === spec.kem.kemId;
}

/** With the tag. */
export function isCiphertextLength(lengthBytes: number): boolean {
  return lengthBytes > AEAD_TAG_BYTES && lengthBytes <= PLAINTEXT_BYTES_MAX + AEAD_TAG_BYTES;
}

/** How long `enc` is: by the suite, which must be one that the kid's algorithm can have. */
function encLength(kid: Kid, kemId: number, kdfId: number, aead: Aead): number | undefined {
  for (const spec of specsOf(kid.alg)) {
    if (spec.kind === 'aead' && spec.aead === aead && kemId === NONE && kdfId === NONE) return AEAD_NONCE_BYTES;
    if (spec.kind === 'kem' && spec.kem.kemId === kemId && kdfId === KDF_HKDF_SHA256) return spec.kem.encapsulatedBytes;
  }
  return undefined;
}

function unwrapFailed(): KmsError {
  return new KmsError('UnwrapFailed');
}
