import type { KemName, SignatureSchemeName } from '../../core/algorithm/table.ts';
import type { PublicPart } from '../../core/key/record.ts';
import type { PublicKeys } from '../../ports/public-keys.ts';
import type { KemPrimitive } from './kems.ts';
import type { SignaturePrimitive } from './signatures.ts';
import { generateKeyPairSync } from 'node:crypto';
import { hpkeSeal } from '../../core/envelope/hpke.ts';

export interface Primitives {
  readonly signatures: Readonly<Record<SignatureSchemeName, SignaturePrimitive>>;
  readonly kems: Readonly<Record<KemName, KemPrimitive>>;
}

export function createPublicKeys({ signatures, kems }: Primitives): PublicKeys {
  return {
    async verify(scheme, part, message, context, signature) {
      if (signature.length !== scheme.signatureBytes || part.bytes.length !== scheme.publicBytes) return false;
      return signatures[scheme.name].verify(part.bytes, message, context, signature);
    },
    seal(kem, aead, part, info, aad, plaintext) {
      const { enc, sharedSecret } = kems[kem.name].encapsulate(part.bytes);
      const ciphertext = hpkeSeal(kem, aead, sharedSecret, info, aad, plaintext);
      sharedSecret.fill(0);
      return { enc, ciphertext };
    },
    describe,
  };
}

/** How a public part is written elsewhere; where no standard says so, it has no row. */
interface Notation {
  /** The DER before the raw key: the algorithm and the head of the bit string. */
  readonly spkiHead: Buffer;
  readonly jwk: Readonly<Record<string, string>>;
  readonly jwkField: 'x' | 'pub';
}

/** RFC 8410, RFC 9881, RFC 9935 and RFC 8037; AKP keys as OpenSSL and JOSE write them. */
const notated = ['ed25519', 'x25519', 'ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87', 'ml-kem-768', 'ml-kem-1024'] as const;
const notations = new Map<string, Notation>();

function describe(part: PublicPart): ReturnType<PublicKeys['describe']> {
  const type = notated.find((name) => name === (part.parameterSet ?? part.alg).toLowerCase());
  if (type === undefined) return {};
  const { spkiHead, jwk, jwkField } = notationOf(type);
  const base64 = Buffer.concat([spkiHead, part.bytes]).toString('base64');
  return {
    spkiPem: `-----BEGIN PUBLIC KEY-----\n${base64.replace(/.{64}(?=.)/g, '$&\n')}\n-----END PUBLIC KEY-----\n`,
    jwk: { ...jwk, [jwkField]: part.bytes.toString('base64url') },
  };
}

/** Learnt once from a throw-away key of the type, so that OpenSSL stays the one who knows the encodings. */
function notationOf(type: (typeof notated)[number]): Notation {
  let notation = notations.get(type);
  if (notation === undefined) {
    const { publicKey } = generateKeyPairSync(type as 'ed25519');
    const der = publicKey.export({ type: 'spki', format: 'der' });
    const raw = publicKey.export({ format: 'raw-public' });
    const { x, pub: _, ...jwk } = publicKey.export({ format: 'jwk' }) as Record<string, string>;
    notation = { spkiHead: der.subarray(0, der.length - raw.length), jwk, jwkField: x === undefined ? 'pub' : 'x' };
    notations.set(type, notation);
  }
  return notation;
}
