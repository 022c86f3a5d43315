/**
 * The same algorithms by other hands: the noble libraries (pure JavaScript), panva's hpke (WebCrypto) and
 * compositions written here from the standards. One row for each name of the algorithm table, so that an
 * algorithm without a second opinion does not compile.
 */
import type { KEMFactory } from 'hpke';
import type { AeadName, KemName, SignatureSchemeName } from '../../src/core/algorithm/table.ts';
import { gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { expand, extract } from '@noble/hashes/hkdf.js';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js';
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';
import { ml_kem1024, ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import * as hpke from 'hpke';

interface SignaturePeer {
  publicOf(seed: Uint8Array): Uint8Array;
  sign(seed: Uint8Array, message: Uint8Array, context: Uint8Array): Uint8Array;
  verify(publicBytes: Uint8Array, message: Uint8Array, context: Uint8Array, signature: Uint8Array): boolean;
}

const nobleEd25519: SignaturePeer = {
  publicOf: (seed) => ed25519.getPublicKey(seed),
  sign: (seed, message) => ed25519.sign(message, seed),
  verify: (publicBytes, message, _context, signature) => ed25519.verify(signature, message, publicBytes, { zip215: false }),
};

const nobleMlDsa = (scheme: typeof ml_dsa65): SignaturePeer => ({
  publicOf: (seed) => scheme.keygen(seed).publicKey,
  sign: (seed, message, context) => scheme.sign(message, scheme.keygen(seed).secretKey, { context }),
  verify: (publicBytes, message, context, signature) => scheme.verify(signature, message, publicBytes, { context }),
});

const mlDsa65 = nobleMlDsa(ml_dsa65);

/** draft-ietf-lamps-pq-composite-sigs-19 §3.2 and §4, over noble. */
const composite: SignaturePeer = {
  publicOf: (seed) => Buffer.concat([mlDsa65.publicOf(seed.subarray(0, 32)), nobleEd25519.publicOf(seed.subarray(32))]),
  sign(seed, message, context) {
    const { bound, label } = compositeInput(message, context);
    return Buffer.concat([mlDsa65.sign(seed.subarray(0, 32), bound, label), nobleEd25519.sign(seed.subarray(32), bound, context)]);
  },
  verify(publicBytes, message, context, signature) {
    const { bound, label } = compositeInput(message, context);
    return mlDsa65.verify(publicBytes.subarray(0, 1952), bound, label, signature.subarray(0, 3309))
      && nobleEd25519.verify(publicBytes.subarray(1952), bound, context, signature.subarray(3309));
  },
};

function compositeInput(message: Uint8Array, context: Uint8Array): { readonly bound: Uint8Array; readonly label: Uint8Array } {
  const label = ascii('COMPSIG-MLDSA65-Ed25519-SHA512');
  return { label, bound: Buffer.concat([ascii('CompositeAlgorithmSignatures2025'), label, Buffer.of(context.length), context, sha512(message)]) };
}

export const signaturePeers: Readonly<Record<SignatureSchemeName, SignaturePeer>> = {
  Ed25519: nobleEd25519,
  'ML-DSA-44': nobleMlDsa(ml_dsa44),
  'ML-DSA-65': mlDsa65,
  'ML-DSA-87': nobleMlDsa(ml_dsa87),
  'MLDSA65-Ed25519-SHA512': composite,
};

interface KemPeer {
  /** panva's HPKE suite for this KEM. */
  readonly hpkeKem: KEMFactory;
  publicOf(seed: Uint8Array): Uint8Array;
  encapsulate(publicBytes: Uint8Array): { readonly enc: Uint8Array; readonly sharedSecret: Uint8Array };
  decapsulate(seed: Uint8Array, enc: Uint8Array): Uint8Array;
}

const nobleKem = (kem: typeof ml_kem768_x25519, hpkeKem: KEMFactory): KemPeer => ({
  hpkeKem,
  publicOf: (seed) => kem.keygen(seed).publicKey,
  encapsulate(publicBytes) {
    const { cipherText, sharedSecret } = kem.encapsulate(publicBytes);
    return { enc: cipherText, sharedSecret };
  },
  decapsulate: (seed, enc) => kem.decapsulate(enc, kem.keygen(seed).secretKey),
});

/** RFC 9180 §4.1 with §7.1.3: ExtractAndExpand over a Diffie-Hellman result. */
export function dhkemSharedSecret(dh: Uint8Array, enc: Uint8Array, publicBytes: Uint8Array): Uint8Array {
  const suite = Buffer.concat([ascii('HPKE-v1'), ascii('KEM'), Buffer.of(0x00, 0x20)]);
  const prk = extract(sha256, Buffer.concat([suite, ascii('eae_prk'), dh]), new Uint8Array());
  return expand(sha256, prk, Buffer.concat([Buffer.of(0, 32), suite, ascii('shared_secret'), enc, publicBytes]), 32);
}

const dhkem: KemPeer = {
  hpkeKem: hpke.KEM_DHKEM_X25519_HKDF_SHA256,
  publicOf: (seed) => x25519.getPublicKey(seed),
  encapsulate(publicBytes) {
    const ephemeral = x25519.utils.randomSecretKey();
    const enc = x25519.getPublicKey(ephemeral);
    return { enc, sharedSecret: dhkemSharedSecret(x25519.getSharedSecret(ephemeral, publicBytes), enc, publicBytes) };
  },
  decapsulate: (seed, enc) => dhkemSharedSecret(x25519.getSharedSecret(seed, enc), enc, x25519.getPublicKey(seed)),
};

export const kemPeers: Readonly<Record<KemName, KemPeer>> = {
  X25519: dhkem,
  'ML-KEM-768': nobleKem(ml_kem768, hpke.KEM_ML_KEM_768),
  'ML-KEM-1024': nobleKem(ml_kem1024, hpke.KEM_ML_KEM_1024),
  'X-Wing': nobleKem(ml_kem768_x25519, hpke.KEM_MLKEM768_X25519),
};

interface AeadPeer {
  readonly hpkeAead: hpke.AEADFactory;
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** Throws when it does not authenticate. */
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array;
}

export const aeadPeers: Readonly<Record<AeadName, AeadPeer>> = {
  'AES-256-GCM': {
    hpkeAead: hpke.AEAD_AES_256_GCM,
    seal: (key, nonce, aad, plaintext) => gcm(key, nonce, aad).encrypt(plaintext),
    open: (key, nonce, aad, ciphertext) => gcm(key, nonce, aad).decrypt(ciphertext),
  },
  'ChaCha20-Poly1305': {
    hpkeAead: hpke.AEAD_ChaCha20Poly1305,
    seal: (key, nonce, aad, plaintext) => chacha20poly1305(key, nonce, aad).encrypt(plaintext),
    open: (key, nonce, aad, ciphertext) => chacha20poly1305(key, nonce, aad).decrypt(ciphertext),
  },
};

function ascii(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
