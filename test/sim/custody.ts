import type { Custody } from '../../src/ports/custody.ts';
import type { PublicPart, VersionRecord } from '../../src/core/key/record.ts';
import type { PublicKeys } from '../../src/ports/public-keys.ts';
import type { Chance } from './chance.ts';
import { blake3 } from '@napi-rs/blake-hash';
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { AEAD_TAG_BYTES } from '../../src/core/algorithm/table.ts';
import { BackendGone } from '../../src/ports/custody.ts';

/** A backend that can be had, is slow, is gone, or takes calls and never answers. */
export type BackendState = 'well' | 'slow' | 'gone' | 'hangs';

export interface SimulatedCustodyDeps {
  readonly chance: Chance;
  readonly sleep: (ms: number) => Promise<void>;
  readonly state: () => BackendState;
  /** Before a plaintext is sealed under a nonce: whoever does it twice is caught here, also when no answer ever left. */
  readonly sealing: (kid: string, nonce: string) => void;
}

const SEED_BYTES = 32;
const HANGS_MS = 120_000;

/**
 * Keys of no secrecy at all, so that a simulated hour costs little: a signature is a hash over public part and message. Custody's
 * part is real: what it holds lies sealed with the record, bound to kid and generation, and only there.
 */
export function createSimulatedCustody({ chance, sleep, state, sealing }: SimulatedCustodyDeps): Custody {
  const reach = async (): Promise<void> => {
    if (state() === 'gone') throw new BackendGone('the simulated backend is gone');
    if (state() === 'hangs') await sleep(HANGS_MS);
    await sleep(state() === 'slow' ? 500 + 2500 * chance.next() : 0.05 + 3 * chance.next() ** 4);
    if (state() === 'gone') throw new BackendGone('the simulated backend went away');
  };

  return {
    async generate(kid, spec) {
      await reach();
      const seed = chance.bytes(SEED_BYTES);
      const publicParts = spec.kind === 'aead' ? []
        : spec.kind === 'kem' ? [partOf(spec.kem.wireAlg, spec.kem.parameterSet, seed)]
          : spec.schemes.map((scheme) => partOf(scheme.wireAlg, scheme.parameterSet, hash(seed, Buffer.from(scheme.name))));
      return { publicParts, attestationClass: 'simulated', seal: (generation) => Buffer.concat([seed, Buffer.from(`${kid} ${generation}`)]) };
    },
    async sign(version, schemes, message, context) {
      await reach();
      const seed = seedOf(version);
      return schemes.map((scheme) => signature(hash(seed, Buffer.from(scheme.name)), message, context));
    },
    async sealAead(version, aead, nonce, aad, plaintext) {
      await reach();
      sealing(version.kid, nonce.toString('hex'));
      return seal(aead.cipher, seedOf(version), nonce, aad, plaintext);
    },
    async open(version, spec, envelope, aad) {
      await reach();
      if (spec.kind === 'aead') return open(envelope.aead.cipher, seedOf(version), envelope.enc, Buffer.concat([envelope.header, aad]), envelope.ciphertext);
      return open(envelope.aead.cipher, hash(seedOf(version), envelope.enc), NONCE, Buffer.concat([envelope.header, aad]), envelope.ciphertext);
    },
    async erase() {
      await reach();
    },
    async probe() {
      await reach();
    },
  };
}

export function createSimulatedPublicKeys(chance: Chance): PublicKeys {
  return {
    verify: async (_scheme, part, message, context, given) => signature(part.bytes, message, context).equals(given),
    seal(kem, aead, part, info, aad, plaintext) {
      const enc = chance.bytes(kem.encapsulatedBytes);
      return { enc, ciphertext: seal(aead.cipher, hash(part.bytes, enc), NONCE, Buffer.concat([info, aad]), plaintext) };
    },
    describe: () => ({}),
  };
}

function seedOf({ kid, custodyBlob, sealedGeneration }: VersionRecord): Buffer {
  if (custodyBlob?.subarray(SEED_BYTES).toString() !== `${kid} ${sealedGeneration}`) throw new Error(`the private part beside ${kid} is not the one that was sealed for it`);
  return custodyBlob.subarray(0, SEED_BYTES);
}

function partOf(alg: string, parameterSet: string | undefined, bytes: Buffer): PublicPart {
  return { alg, ...(parameterSet !== undefined && { parameterSet }), bytes };
}

/** Of a key that is used once. */
const NONCE = Buffer.alloc(12);

function signature(publicBytes: Buffer, message: Buffer, context: Buffer): Buffer {
  return hash(publicBytes, Buffer.concat([message, context]));
}

function hash(key: Buffer, bytes: Buffer): Buffer {
  return Buffer.from(blake3(Buffer.concat([key, bytes])));
}

type Cipher = 'aes-256-gcm' | 'chacha20-poly1305';
const TAG = { authTagLength: AEAD_TAG_BYTES };

function seal(cipher: Cipher, key: Buffer, nonce: Buffer, aad: Buffer, plaintext: Buffer): Buffer {
  const sealing = createCipheriv(cipher as 'aes-256-gcm', key, nonce, TAG);
  sealing.setAAD(aad, { plaintextLength: plaintext.length });
  return Buffer.concat([sealing.update(plaintext), sealing.final(), sealing.getAuthTag()]);
}

function open(cipher: Cipher, key: Buffer, nonce: Buffer, aad: Buffer, sealed: Buffer): Buffer | undefined {
  const opening = createDecipheriv(cipher as 'aes-256-gcm', key, nonce, TAG);
  const end = sealed.length - AEAD_TAG_BYTES;
  opening.setAAD(aad, { plaintextLength: end });
  opening.setAuthTag(sealed.subarray(end));
  try {
    return Buffer.concat([opening.update(sealed.subarray(0, end)), opening.final()]);
  } catch {
    return undefined;
  }
}
