import type { KeySpec, SignatureScheme } from '../../core/algorithm/table.ts';
import type { PublicPart, VersionRecord } from '../../core/key/record.ts';
import type { Custody } from '../../ports/custody.ts';
import type { PrivateParts, PrivatePartsDeps } from '../crypto/private-parts.ts';
import type { TokenDevice } from './device.ts';
import type { TokenCalls } from './protocol.ts';
import type { Standby } from './standby.ts';
import { specOfVersion } from '../../core/key/spec-of-version.ts';
import { dhkemSharedSecret, hpkeOpen } from '../../core/envelope/hpke.ts';
import { KmsError } from '../../core/errors.ts';
import { newSeeds, privatePartsFrom, usesOf } from '../crypto/private-parts.ts';
import { createUnsealedCache } from '../custody-file/unsealed-cache.ts';
import { standingIn } from './standby.ts';
import { makeDataKey, openSeeds, sealSeeds } from './wrapped-blob.ts';

export interface Pkcs11CustodyDeps extends PrivatePartsDeps {
  readonly token: TokenDevice;
  /** Signs and opens while the token is out, where `service.allow_sign_fallback` says so. */
  readonly standby?: Standby | undefined;
  /** `backends.file.cache_keys`: of versions with a part that the token has no mechanism for. */
  readonly cacheKeysMax: number;
}

export interface Pkcs11Custody extends Custody {
  /** The standby does the work of the token now. */
  isStandingIn(): boolean;
}

/** Every private part lives and works inside the token; or one does, and the rest is sealed by a key inside. */
export const INSIDE_CLASS = 'pkcs11';
export const WRAPPED_CLASS = 'pkcs11-wrapped';
const UNSEALED_BYTES_MAX = 24 * 1024 * 1024;
const AEAD_INSIDE = 'AES-256-GCM';
const KEM_INSIDE = 'X25519';
const SCHEME_INSIDE = 'Ed25519';

/**
 * Ed25519, X25519 and AES-256-GCM keys are non-extractable objects of a PKCS #11 token, and used there. What it lacks (ML-DSA,
 * ML-KEM, X-Wing, ChaCha20-Poly1305) is sealed by a key of the token's and unsealed on use, into a bounded cache of this process.
 */
export function createPkcs11Custody({ token, standby, cacheKeysMax, ...deps }: Pkcs11CustodyDeps): Pkcs11Custody {
  const { memory } = deps;
  const { alone, orStandby, probe, isStandingIn } = standingIn(token, standby);
  const opens: Pick<TokenCalls, 'decrypt' | 'derive'> = {
    decrypt: (...args) => orStandby(() => token.decrypt(...args), ({ opens }) => opens.decrypt(...args)),
    derive: (...args) => orStandby(() => token.derive(...args), ({ opens }) => opens.derive(...args)),
  };
  const cache = createUnsealedCache({ keysMax: cacheKeysMax, bytesMax: UNSEALED_BYTES_MAX });
  const opening = new Map<string, Promise<PrivateParts>>();
  const erased = new WeakSet<Pick<VersionRecord, 'kid'>>();

  const requireHeld = (version: VersionRecord): void => {
    if (erased.has(version)) throw unavailable('custody does not hold this version');
  };

  const unseal = async ({ kid, custodyBlob, sealedGeneration, publicParts }: VersionRecord, wrapped: KeySpec): Promise<PrivateParts> => {
    if (custodyBlob === undefined || sealedGeneration === undefined) throw unavailable('custody does not hold this version');
    const seeds = await openSeeds(opens, custodyBlob, kid, sealedGeneration);
    if (seeds === undefined) throw unavailable(DOES_NOT_OPEN);
    try {
      const parts = privatePartsFrom(wrapped, seeds, deps);
      // A key that would sign for another public part gives itself away by one signature.
      if (!parts.publicParts.every((made) => publicParts.some(({ alg, bytes }) => alg === made.alg && bytes.equals(made.bytes)))) {
        parts.destroy();
        throw unavailable(DOES_NOT_OPEN);
      }
      cache.put(kid, sealedGeneration, parts);
      return parts;
    } finally {
      seeds.fill(0);
    }
  };

  /** Those who want the same at once wait for one unsealing. */
  const wrappedParts = (version: VersionRecord, wrapped: KeySpec): Promise<PrivateParts> | PrivateParts => {
    requireHeld(version);
    const { kid, sealedGeneration = -1 } = version;
    const cached = cache.get(kid, sealedGeneration);
    if (cached !== undefined) return cached;
    const name = `${kid} ${sealedGeneration}`;
    const under = opening.get(name) ?? unseal(version, wrapped).finally(() => opening.delete(name));
    opening.set(name, under);
    return under;
  };

  /** The same calls over parts that are here. */
  const usesWrapped = async (version: VersionRecord): Promise<ReturnType<typeof usesOf>> => {
    const { wrapped } = splitOf(specOfVersion(version));
    if (wrapped === undefined) throw new Error('a part that is wrapped was expected');
    const parts = await wrappedParts(version, wrapped);
    return usesOf(() => parts);
  };

  const signOne = async (version: VersionRecord, scheme: SignatureScheme, message: Buffer, context: Buffer): Promise<Buffer> => {
    if (scheme.name === SCHEME_INSIDE) return orStandby(async () => bufferOf(await token.sign(version.kid, message)), (by) => by.sign(version, message));
    const [signature] = await (await usesWrapped(version)).sign(version, [scheme], message, context);
    if (signature === undefined) throw new Error('a signature for each scheme');
    return signature;
  };

  return {
    async generate(kid, spec) {
      const { isInside, wrapped } = splitOf(spec);
      const inside = isInside ? await alone(() => makeInside(token, kid, spec)) : [];
      if (wrapped === undefined) return { publicParts: inside, attestationClass: INSIDE_CLASS };
      const dataKey = await alone(() => makeDataKey(token, kid));
      const seeds = newSeeds(wrapped, deps);
      const parts = privatePartsFrom(wrapped, seeds, deps);
      parts.destroy();
      return {
        publicParts: [...inside, ...parts.publicParts],
        attestationClass: WRAPPED_CLASS,
        seal(generation) {
          try {
            return sealSeeds(seeds, dataKey, kid, generation);
          } finally {
            memory.give(seeds);
          }
        },
      };
    },

    async sign(version, schemes, message, context) {
      requireHeld(version);
      return Promise.all(schemes.map((scheme) => signOne(version, scheme, message, context)));
    },

    async sealAead(version, aead, nonce, aad, plaintext) {
      requireHeld(version);
      if (aead.name === AEAD_INSIDE) return bufferOf(await alone(() => token.encrypt(version.kid, nonce, aad, plaintext)));
      return (await usesWrapped(version)).sealAead(version, aead, nonce, aad, plaintext);
    },

    async open(version, spec, envelope, aad) {
      requireHeld(version);
      const { header, enc, ciphertext, aead } = envelope;
      if (spec.kind === 'aead' && spec.aead.name === AEAD_INSIDE) {
        const opened = await opens.decrypt(version.kid, enc, Buffer.concat([header, aad]), ciphertext);
        return opened && bufferOf(opened);
      }
      if (spec.kind !== 'kem' || spec.kem.name !== KEM_INSIDE) return (await usesWrapped(version)).open(version, spec, envelope, aad);
      const dh = await opens.derive(version.kid, enc);
      const [part] = version.publicParts;
      if (dh === undefined || part === undefined) return undefined;
      const sharedSecret = dhkemSharedSecret(spec.kem, bufferOf(dh), enc, part.bytes);
      const plaintext = hpkeOpen(spec.kem, aead, sharedSecret, header, aad, ciphertext);
      sharedSecret.fill(0);
      dh.fill(0);
      return plaintext;
    },

    async erase(version) {
      erased.add(version);
      cache.drop(version.kid);
      await alone(() => token.destroy(version.kid));
    },

    probe,
    isStandingIn,
  };
}

const DOES_NOT_OPEN = 'the sealed private part of this version does not open: it was changed, moved, or is of another token';

function unavailable(hint: string): KmsError {
  return new KmsError('StoreUnavailable', { hint });
}

/** What of a key the token can hold and use itself, and what is left to be wrapped. */
function splitOf(spec: KeySpec): { readonly isInside: boolean; readonly wrapped: KeySpec | undefined } {
  if (spec.kind === 'aead') return onlyOne(spec, spec.aead.name === AEAD_INSIDE);
  if (spec.kind === 'kem') return onlyOne(spec, spec.kem.name === KEM_INSIDE);
  const rest = spec.schemes.filter(({ name }) => name !== SCHEME_INSIDE);
  return { isInside: rest.length < spec.schemes.length, wrapped: rest.length === 0 ? undefined : { ...spec, schemes: rest } };
}

function onlyOne(spec: KeySpec, isInside: boolean): { readonly isInside: boolean; readonly wrapped: KeySpec | undefined } {
  return { isInside, wrapped: isInside ? undefined : spec };
}

async function makeInside(token: TokenDevice, kid: string, spec: KeySpec): Promise<readonly PublicPart[]> {
  if (spec.kind === 'aead') {
    await token.makeAes256(kid);
    return [];
  }
  const bytes = bufferOf(await (spec.kind === 'kem' ? token.makeX25519(kid) : token.makeEd25519(kid)));
  return [{ alg: spec.kind === 'kem' ? 'x25519' : 'ed25519', bytes }];
}

/** What came over IPC, without a copy. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
