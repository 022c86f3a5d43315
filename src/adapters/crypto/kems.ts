import type { KeyObject } from 'node:crypto';
import type { KemName } from '../../core/algorithm/table.ts';
import type { PublicKeyCache } from './public-key-cache.ts';
import { createPrivateKey, createPublicKey, decapsulate, diffieHellman, encapsulate, generateKeyPairSync, hash, secureHeapUsed } from 'node:crypto';

/** A private KEM key in use. */
export interface Decapsulator {
  readonly publicBytes: Buffer;
  /** The shared secret, 32 bytes, which the caller zeroes; undefined for an encapsulation that is no group element. */
  decapsulate(enc: Buffer): Buffer | undefined;
}

/** One KEM over native code, as HPKE takes it: for X25519 that is DHKEM of RFC 9180 §4.1. */
export interface KemPrimitive {
  readonly seedBytes: number;
  /** Deterministic key generation from a seed, which the caller zeroes. */
  fromSeed(seed: Buffer): Decapsulator;
  encapsulate(publicBytes: Buffer): { readonly enc: Buffer; readonly sharedSecret: Buffer };
}

const ML_KEM_768_PUBLIC = 1184;
const ML_KEM_768_ENC = 1088;
const ML_KEM_SEED = 64;
const X25519_SEED = 32;
const XWING_LABEL = Buffer.from('\\.//^\\', 'latin1');
/** What stands before the 32 bytes of an X25519 private key in PKCS #8 (RFC 8410 §7). */
const X25519_PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** The rest is for what OpenSSL needs while it works: without it, nothing could be wrapped. */
const SECURE_HEAP_FOR_KEYS = 0.75;

export function createKemPrimitives(publicKeys: PublicKeyCache): Readonly<Record<KemName, KemPrimitive>> {
  /** FIPS 203 for ML-KEM, DHKEM(X25519, HKDF-SHA256) of RFC 9180 §4.1 for X25519: both OpenSSL's own. */
  const native = (type: 'x25519' | MlKem, seedBytes: number): KemPrimitive => ({
    seedBytes,
    fromSeed(seed) {
      const key = type === 'x25519' ? x25519PrivateKey(seed) : mlKemPrivateKey(seed, type);
      return { publicBytes: rawPublic(key), decapsulate: (enc) => orUndefined(() => decapsulate(key, enc)) };
    },
    encapsulate(publicBytes) {
      const { ciphertext, sharedKey } = encapsulate(publicKeys.get(publicBytes, type));
      return { enc: ciphertext, sharedSecret: sharedKey };
    },
  });

  /** draft-connolly-cfrg-xwing-kem-10 §5: ML-KEM-768 and X25519 under SHA3-256, over OpenSSL's primitives. */
  const xWing: KemPrimitive = {
    seedBytes: 32,
    fromSeed(seed) {
      // In one call: a hash object would keep the seed until it is collected.
      const expanded = hash('shake256', seed, { outputEncoding: 'buffer', outputLength: ML_KEM_SEED + X25519_SEED });
      const mlKemKey = mlKemPrivateKey(expanded.subarray(0, ML_KEM_SEED), 'ml-kem-768');
      const x25519Key = x25519PrivateKey(expanded.subarray(ML_KEM_SEED));
      expanded.fill(0);
      const x25519Public = rawPublic(x25519Key);
      return {
        publicBytes: Buffer.concat([rawPublic(mlKemKey), x25519Public]),
        decapsulate: (enc) => orUndefined(() => {
          const x25519Enc = enc.subarray(ML_KEM_768_ENC);
          const mlKemSecret = decapsulate(mlKemKey, enc.subarray(0, ML_KEM_768_ENC));
          const x25519Secret = diffieHellman({ privateKey: x25519Key, publicKey: importX25519(x25519Enc) });
          return combine(mlKemSecret, x25519Secret, x25519Enc, x25519Public);
        }),
      };
    },
    encapsulate(publicBytes) {
      const x25519Public = publicBytes.subarray(ML_KEM_768_PUBLIC);
      const mlKem = encapsulate(publicKeys.get(publicBytes.subarray(0, ML_KEM_768_PUBLIC), 'ml-kem-768'));
      const ephemeral = generateKeyPairSync('x25519');
      const x25519Enc = ephemeral.publicKey.export({ format: 'raw-public' });
      const x25519Secret = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: publicKeys.get(x25519Public, 'x25519') });
      return {
        enc: Buffer.concat([mlKem.ciphertext, x25519Enc]),
        sharedSecret: combine(mlKem.sharedKey, x25519Secret, x25519Enc, x25519Public),
      };
    },
  };

  return {
    X25519: native('x25519', X25519_SEED),
    'ML-KEM-768': native('ml-kem-768', ML_KEM_SEED),
    'ML-KEM-1024': native('ml-kem-1024', ML_KEM_SEED),
    'X-Wing': xWing,
  };
}

type MlKem = 'ml-kem-768' | 'ml-kem-1024';

/** On OpenSSL's ordinary heap: it has no other way in for them. */
function mlKemPrivateKey(seed: Buffer, type: MlKem): KeyObject {
  return createPrivateKey({ key: seed, format: 'raw-seed', asymmetricKeyType: type });
}

/** On OpenSSL's secure heap, as long as there is room: read as PKCS #8 it gets there, as raw bytes it does not. */
function x25519PrivateKey(seed: Buffer): KeyObject {
  const { total, used } = secureHeapUsed() ?? { total: 0, used: 0 };
  if (used >= total * SECURE_HEAP_FOR_KEYS) return createPrivateKey({ key: seed, format: 'raw-private', asymmetricKeyType: 'x25519' });
  const der = Buffer.concat([X25519_PKCS8, seed]);
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

/** The X-Wing combiner (§5.3); zeroes both secrets. */
function combine(mlKemSecret: Buffer, x25519Secret: Buffer, x25519Enc: Buffer, x25519Public: Buffer): Buffer {
  const all = Buffer.concat([mlKemSecret, x25519Secret, x25519Enc, x25519Public, XWING_LABEL]);
  const secret = hash('sha3-256', all, 'buffer');
  for (const bytes of [mlKemSecret, x25519Secret, all]) bytes.fill(0);
  return secret;
}

function rawPublic(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: 'raw-public' });
}

function importX25519(bytes: Buffer): KeyObject {
  return createPublicKey({ key: bytes, format: 'raw-public', asymmetricKeyType: 'x25519' });
}

/** OpenSSL throws on an all-zero X25519 result (RFC 7748 §6.1): for the caller that is one more wrong ciphertext. */
function orUndefined(open: () => Buffer): Buffer | undefined {
  try {
    return open();
  } catch {
    return undefined;
  }
}
