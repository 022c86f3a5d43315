import type { KeySpec, SignatureScheme, SignatureSchemeName } from '../../core/algorithm/table.ts';
import type { PublicPart, VersionRecord } from '../../core/key/record.ts';
import type { Custody } from '../../ports/custody.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import type { Decapsulator } from './kems.ts';
import type { Primitives } from './public-keys.ts';
import type { Signer } from './signatures.ts';
import sodium from 'sodium-native';
import { AEAD_KEY_BYTES } from '../../core/algorithm/table.ts';
import { aeadOpen, aeadSeal, hpkeOpen } from '../../core/envelope/hpke.ts';
import { KmsError } from '../../core/errors.ts';

/** The private parts of one version, ready for use: Ed25519 and AEAD keys in locked memory, the rest as native key objects. */
export interface PrivateParts {
  readonly publicParts: readonly PublicPart[];
  readonly signers: ReadonlyMap<SignatureSchemeName, Signer>;
  readonly decapsulator?: Decapsulator;
  /** In locked memory. */
  readonly aeadKey?: Buffer;
  /** Runs the work; what it uses is not overwritten before it has ended. */
  use<T>(work: () => Promise<T>): Promise<T>;
  /** Overwrites them, as soon as those at work with them have ended. */
  destroy(): void;
}

export interface PrivatePartsDeps {
  readonly primitives: Primitives;
  readonly memory: LockedMemory;
}

/** How long the seeds of a key are together: one behind the other, in the order of its spec. */
export function seedBytesOf(spec: KeySpec, { signatures, kems }: Primitives): number {
  if (spec.kind === 'aead') return AEAD_KEY_BYTES;
  if (spec.kind === 'kem') return kems[spec.kem.name].seedBytes;
  return spec.schemes.reduce((sum, { name }) => sum + signatures[name].seedBytes, 0);
}

/** Random seeds for a key, in locked memory; whoever takes them gives them back to it. */
export function newSeeds(spec: KeySpec, { primitives, memory }: PrivatePartsDeps): Buffer {
  const seeds = memory.take(seedBytesOf(spec, primitives));
  sodium.randombytes_buf(seeds);
  return seeds;
}

/** The private parts that the seeds stand for; the seeds stay the caller's. */
export function privatePartsFrom(spec: KeySpec, seeds: Buffer, { primitives, memory }: PrivatePartsDeps): PrivateParts {
  if (spec.kind === 'aead') {
    const aeadKey = memory.take(AEAD_KEY_BYTES);
    seeds.copy(aeadKey);
    return { publicParts: [], signers: new Map(), aeadKey, ...lifeOf(() => memory.give(aeadKey)) };
  }
  if (spec.kind === 'kem') {
    const decapsulator = primitives.kems[spec.kem.name].fromSeed(seeds);
    // OpenSSL clears a native key when its object is collected; node gives no way to do it sooner.
    return { publicParts: [partOf(spec.kem, decapsulator.publicBytes)], signers: new Map(), decapsulator, ...lifeOf(() => undefined) };
  }
  const signers = new Map<SignatureSchemeName, Signer>();
  let at = 0;
  const publicParts = spec.schemes.map((scheme) => {
    const { seedBytes, signerFromSeed } = primitives.signatures[scheme.name];
    const signer = signerFromSeed(seeds.subarray(at, at += seedBytes));
    signers.set(scheme.name, signer);
    return partOf(scheme, signer.publicBytes);
  });
  return { publicParts, signers, ...lifeOf(() => signers.forEach((signer) => signer.destroy())) };
}

/** What a custody does with private parts in use, whichever way it comes to them. */
export function usesOf(partsOf: (version: VersionRecord) => PrivateParts): Pick<Custody, 'sign' | 'sealAead' | 'open'> {
  return {
    async sign(version, schemes, message, context) {
      const parts = partsOf(version);
      return parts.use(() => signAll(parts, schemes, message, context));
    },

    async sealAead(version, aead, nonce, aad, plaintext) {
      const { aeadKey } = partsOf(version);
      if (aeadKey === undefined) throw new Error('an AEAD key was expected');
      return aeadSeal(aead, aeadKey, nonce, aad, plaintext);
    },

    async open(version, spec, { header, enc, ciphertext, aead }, aad) {
      const { aeadKey, decapsulator } = partsOf(version);
      if (aeadKey !== undefined) return aeadOpen(aead, aeadKey, enc, Buffer.concat([header, aad]), ciphertext);
      const sharedSecret = decapsulator?.decapsulate(enc);
      if (sharedSecret === undefined || spec.kind !== 'kem') return undefined;
      const plaintext = hpkeOpen(spec.kem, aead, sharedSecret, header, aad, ciphertext);
      sharedSecret.fill(0);
      return plaintext;
    },
  };
}

async function signAll({ signers }: PrivateParts, schemes: readonly SignatureScheme[], message: Buffer, context: Buffer): Promise<readonly Buffer[]> {
  const signatures: Buffer[] = [];
  for (const { name } of schemes) {
    const signer = signers.get(name);
    if (signer === undefined) throw new KmsError('StoreUnavailable', { hint: 'custody does not hold this part' });
    const signature = signer.sign(message, context);
    // Ed25519 is there at once; waiting for it anyway would cost a turn of the microtask queue.
    signatures.push(signature instanceof Promise ? await signature : signature);
  }
  return signatures;
}

function lifeOf(overwrite: () => void): Pick<PrivateParts, 'use' | 'destroy'> {
  let uses = 0;
  let isGone = false;
  return {
    async use(work) {
      if (isGone) throw new KmsError('StoreUnavailable', { hint: 'custody does not hold this version' });
      uses++;
      try {
        return await work();
      } finally {
        if (--uses === 0 && isGone) overwrite();
      }
    },
    destroy() {
      if (isGone) return;
      isGone = true;
      if (uses === 0) overwrite();
    },
  };
}

function partOf({ wireAlg, parameterSet }: { readonly wireAlg: string; readonly parameterSet?: string }, bytes: Buffer): PublicPart {
  return { alg: wireAlg, ...(parameterSet !== undefined && { parameterSet }), bytes };
}
