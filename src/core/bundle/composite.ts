import { createHash } from 'node:crypto';
import { signatureSchemes } from '../algorithm/table.ts';

/**
 * `id-MLDSA65-Ed25519-SHA512` of draft-ietf-lamps-pq-composite-sigs-19: both components sign
 * M' = Prefix || Label || len(ctx) || ctx || SHA-512(M) (§3.2), ML-DSA with the label as its context.
 * Keys and signatures are the plain concatenation, ML-DSA first (§4).
 */
const PREFIX = Buffer.from('CompositeAlgorithmSignatures2025', 'latin1');
export const COMPOSITE_LABEL = Buffer.from('COMPSIG-MLDSA65-Ed25519-SHA512', 'latin1');

const mlDsa = signatureSchemes['ML-DSA-65'];

/** M' for a message and a context of 0 to 255 bytes. */
export function compositeMessage(message: Uint8Array, context: Uint8Array): Buffer {
  if (context.length > 255) throw new RangeError('a context is at most 255 bytes');
  const digest = createHash('sha512').update(message).digest();
  return Buffer.concat([PREFIX, COMPOSITE_LABEL, Buffer.of(context.length), context, digest]);
}

export function joinComposite(mlDsaPart: Uint8Array, ed25519Part: Uint8Array): Buffer {
  return Buffer.concat([mlDsaPart, ed25519Part]);
}

export function splitCompositePublic(bytes: Buffer): { readonly mlDsa: Buffer; readonly ed25519: Buffer } {
  return { mlDsa: bytes.subarray(0, mlDsa.publicBytes), ed25519: bytes.subarray(mlDsa.publicBytes) };
}

export function splitCompositeSignature(bytes: Buffer): { readonly mlDsa: Buffer; readonly ed25519: Buffer } {
  return { mlDsa: bytes.subarray(0, mlDsa.signatureBytes), ed25519: bytes.subarray(mlDsa.signatureBytes) };
}
