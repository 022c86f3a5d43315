import type { SignatureSchemeName } from '../../core/algorithm/table.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import type { PoolGate } from './pool-gate.ts';
import type { PublicKeyCache } from './public-key-cache.ts';
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import sodium from 'sodium-native';
import { COMPOSITE_LABEL, compositeMessage, joinComposite, splitCompositePublic, splitCompositeSignature } from '../../core/bundle/composite.ts';

/** A private key in use: closes over the key, so there is nothing to hand around. */
export interface Signer {
  readonly publicBytes: Buffer;
  sign(message: Buffer, context: Buffer): Promise<Buffer> | Buffer;
  destroy(): void;
}

/** One signature scheme over native code. */
export interface SignaturePrimitive {
  readonly seedBytes: number;
  /** Deterministic key generation from a seed, which the caller zeroes. */
  signerFromSeed(seed: Buffer): Signer;
  /** The lengths are right; everything else may be wrong. */
  verify(publicBytes: Buffer, message: Buffer, context: Buffer, signature: Buffer): Promise<boolean> | boolean;
}

export interface SignatureDeps {
  readonly memory: LockedMemory;
  readonly gate: PoolGate;
  readonly publicKeys: PublicKeyCache;
}

const SEED_BYTES = 32;

export function createSignaturePrimitives({ memory, gate, publicKeys }: SignatureDeps): Readonly<Record<SignatureSchemeName, SignaturePrimitive>> {
  /** RFC 8032 §5.1, libsodium; synchronous, as handing 14 us of work to a thread costs more than it. */
  const ed25519: SignaturePrimitive = {
    seedBytes: SEED_BYTES,
    signerFromSeed(seed) {
      const publicBytes = Buffer.alloc(sodium.crypto_sign_PUBLICKEYBYTES);
      const secretKey = memory.take(sodium.crypto_sign_SECRETKEYBYTES);
      sodium.crypto_sign_seed_keypair(publicBytes, secretKey, seed);
      return {
        publicBytes,
        sign(message) {
          const signature = Buffer.allocUnsafe(sodium.crypto_sign_BYTES);
          sodium.crypto_sign_detached(signature, message, secretKey);
          return signature;
        },
        destroy: () => memory.give(secretKey),
      };
    },
    verify: (publicBytes, message, _context, signature) => sodium.crypto_sign_verify_detached(signature, message, publicBytes),
  };

  /** FIPS 204, OpenSSL; on the thread pool, always hedged (§3.4). */
  const mlDsa = (type: 'ml-dsa-44' | 'ml-dsa-65' | 'ml-dsa-87'): SignaturePrimitive => ({
    seedBytes: SEED_BYTES,
    signerFromSeed(seed) {
      const key = createPrivateKey({ key: seed, format: 'raw-seed', asymmetricKeyType: type });
      return {
        publicBytes: createPublicKey(key).export({ format: 'raw-public' }),
        sign: (message, context) => gate.run((done) => sign(null, message, { key, context }, done)),
        // OpenSSL clears the key when the object is collected; node gives no way to do it sooner.
        destroy: () => undefined,
      };
    },
    verify(publicBytes, message, context, signature) {
      const key = publicKeys.get(publicBytes, type);
      return gate.run((done) => verify(null, message, { key, context }, signature, done));
    },
  });

  const mlDsa65 = mlDsa('ml-dsa-65');

  /** draft-ietf-lamps-pq-composite-sigs-19 §3: both components over M', both must hold. */
  const composite: SignaturePrimitive = {
    seedBytes: 2 * SEED_BYTES,
    signerFromSeed(seed) {
      const pq = mlDsa65.signerFromSeed(seed.subarray(0, SEED_BYTES));
      const classical = ed25519.signerFromSeed(seed.subarray(SEED_BYTES));
      return {
        publicBytes: joinComposite(pq.publicBytes, classical.publicBytes),
        async sign(message, context) {
          const bound = compositeMessage(message, context);
          return joinComposite(await pq.sign(bound, COMPOSITE_LABEL), await classical.sign(bound, context));
        },
        destroy() {
          pq.destroy();
          classical.destroy();
        },
      };
    },
    async verify(publicBytes, message, context, signature) {
      const bound = compositeMessage(message, context);
      const key = splitCompositePublic(publicBytes);
      const parts = splitCompositeSignature(signature);
      const isClassicalOk = await ed25519.verify(key.ed25519, bound, context, parts.ed25519);
      return (await mlDsa65.verify(key.mlDsa, bound, COMPOSITE_LABEL, parts.mlDsa)) && isClassicalOk;
    },
  };

  return {
    Ed25519: ed25519,
    'ML-DSA-44': mlDsa('ml-dsa-44'),
    'ML-DSA-65': mlDsa65,
    'ML-DSA-87': mlDsa('ml-dsa-87'),
    'MLDSA65-Ed25519-SHA512': composite,
  };
}
