import type { KeySpec, SignatureSchemeName } from '../../core/algorithm/table.ts';
import type { PublicPart, VersionRecord } from '../../core/key/record.ts';
import type { Custody } from '../../ports/custody.ts';
import type { Decapsulator } from '../crypto/kems.ts';
import type { Primitives } from '../crypto/public-keys.ts';
import type { Signer } from '../crypto/signatures.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import sodium from 'sodium-native';
import { AEAD_KEY_BYTES } from '../../core/algorithm/table.ts';
import { aeadOpen, aeadSeal, hpkeOpen } from '../../core/envelope/hpke.ts';
import { KmsError } from '../../core/errors.ts';

/** The private parts of one version. */
interface Held {
  readonly publicParts: readonly PublicPart[];
  readonly signers: ReadonlyMap<SignatureSchemeName, Signer>;
  readonly decapsulator?: Decapsulator;
  /** In locked memory. */
  readonly aeadKey?: Buffer;
}

const INMEM_CLASS = 'inmem';

/** Keys that live in this process and die with it: Ed25519 and AEAD keys in locked memory, the rest as native key objects. */
export function createInmemCustody({ primitives, memory }: { readonly primitives: Primitives; readonly memory: LockedMemory }): Custody {
  const heldByKid = new Map<string, Held>();

  const withSeed = <T>(lengthBytes: number, make: (seed: Buffer) => T): T => {
    const seed = memory.take(lengthBytes);
    try {
      sodium.randombytes_buf(seed);
      return make(seed);
    } finally {
      memory.give(seed);
    }
  };

  const make = (spec: KeySpec): Held => {
    if (spec.kind === 'aead') {
      const aeadKey = memory.take(AEAD_KEY_BYTES);
      sodium.randombytes_buf(aeadKey);
      return { publicParts: [], signers: new Map(), aeadKey };
    }
    if (spec.kind === 'kem') {
      const { kem } = spec;
      const decapsulator = withSeed(primitives.kems[kem.name].seedBytes, (seed) => primitives.kems[kem.name].fromSeed(seed));
      return { publicParts: [partOf(kem, decapsulator.publicBytes)], signers: new Map(), decapsulator };
    }
    const signers = new Map(spec.schemes.map(({ name }) => [name, withSeed(primitives.signatures[name].seedBytes, (seed) => primitives.signatures[name].signerFromSeed(seed))]));
    return { publicParts: spec.schemes.map((scheme) => partOf(scheme, signers.get(scheme.name)?.publicBytes ?? Buffer.alloc(0))), signers };
  };

  const held = ({ kid }: VersionRecord): Held => {
    const parts = heldByKid.get(kid);
    if (parts === undefined) throw new KmsError('StoreUnavailable', { hint: 'custody does not hold this version' });
    return parts;
  };

  return {
    async generate(kid, spec) {
      const parts = make(spec);
      heldByKid.set(kid, parts);
      return { publicParts: parts.publicParts, attestationClass: INMEM_CLASS };
    },

    async sign(version, schemes, message, context) {
      const { signers } = held(version);
      const signatures: Buffer[] = [];
      for (const { name } of schemes) {
        const signer = signers.get(name);
        if (signer === undefined) throw new KmsError('StoreUnavailable', { hint: 'custody does not hold this part' });
        const signature = signer.sign(message, context);
        // Ed25519 is there at once; waiting for it anyway would cost a turn of the microtask queue.
        signatures.push(signature instanceof Promise ? await signature : signature);
      }
      return signatures;
    },

    async sealAead(version, aead, nonce, aad, plaintext) {
      const { aeadKey } = held(version);
      if (aeadKey === undefined) throw new Error('an AEAD key was expected');
      return aeadSeal(aead, aeadKey, nonce, aad, plaintext);
    },

    async open(version, spec, { header, enc, ciphertext, aead }, aad) {
      const { aeadKey, decapsulator } = held(version);
      if (aeadKey !== undefined) return aeadOpen(aead, aeadKey, enc, Buffer.concat([header, aad]), ciphertext);
      const sharedSecret = decapsulator?.decapsulate(enc);
      if (sharedSecret === undefined || spec.kind !== 'kem') return undefined;
      const plaintext = hpkeOpen(spec.kem, aead, sharedSecret, header, aad, ciphertext);
      sharedSecret.fill(0);
      return plaintext;
    },

    async erase({ kid }) {
      const parts = heldByKid.get(kid);
      heldByKid.delete(kid);
      for (const signer of parts?.signers.values() ?? []) signer.destroy();
      if (parts?.aeadKey !== undefined) memory.give(parts.aeadKey);
    },

    isReady: () => true,
  };
}

function partOf({ wireAlg, parameterSet }: { readonly wireAlg: string; readonly parameterSet?: string }, bytes: Buffer): PublicPart {
  return { alg: wireAlg, ...(parameterSet !== undefined && { parameterSet }), bytes };
}
