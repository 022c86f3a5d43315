import type { Aead } from '../../core/algorithm/table.ts';
import type { PublicPart, VersionRecord } from '../../core/key/record.ts';
import type { Custody } from '../../ports/custody.ts';
import type { Reseal } from '../../ports/resealing.ts';
import type { PrivateParts, PrivatePartsDeps } from '../crypto/private-parts.ts';
import type { RootKeys } from '../root-key/root-keys.ts';
import { KmsError } from '../../core/errors.ts';
import { specOfVersion } from '../../core/key/spec-of-version.ts';
import { newSeeds, privatePartsFrom, seedBytesOf, usesOf } from '../crypto/private-parts.ts';
import { epochOf, openBlob, sealBlob } from './sealed-blob.ts';
import { createUnsealedCache } from './unsealed-cache.ts';

export interface FileCustodyDeps extends PrivatePartsDeps {
  readonly rootKeys: RootKeys;
  /** `backends.file.aead`; what is sealed under another one opens all the same. */
  readonly aead: Aead;
  /** `backends.file.cache_keys`. */
  readonly cacheKeysMax: number;
  /** What is unsealed takes about so much memory, at most. */
  readonly unsealedBytesMax?: number;
  /** Of the versions that it makes: `file`, or that of what the root key lies under. */
  readonly attestationClass?: string;
}

export interface FileCustody extends Custody {
  /** Gives a blob anew under the newest root key; throws when it does not open. */
  readonly reseal: Reseal;
  /** Versions that are unsealed now. */
  unsealed(): number;
}

const FILE_CLASS = 'file';
/** Seven hundred hybrid keys, or ten thousand of Ed25519: ten thousand hybrid ones would be 310 MiB. */
const UNSEALED_BYTES_MAX = 24 * 1024 * 1024;

/** Keys that lie with their records, sealed; unsealed on use, into a bounded cache. */
export function createFileCustody({ rootKeys, aead, cacheKeysMax, unsealedBytesMax = UNSEALED_BYTES_MAX, attestationClass = FILE_CLASS, ...deps }: FileCustodyDeps): FileCustody {
  const { memory, primitives } = deps;
  const cache = createUnsealedCache({ keysMax: cacheKeysMax, bytesMax: unsealedBytesMax });
  /** Seeds of versions that no mutation has taken yet. */
  const unsettled = new Map<string, Buffer>();
  /** Records whose versions were erased: a reader may still hold one, blob and all. */
  const erased = new WeakSet<Pick<VersionRecord, 'kid'>>();

  const forget = (kid: string): void => {
    const seeds = unsettled.get(kid);
    unsettled.delete(kid);
    if (seeds !== undefined) memory.give(seeds);
  };

  const unseal = (version: VersionRecord): PrivateParts => {
    const { kid, custodyBlob, sealedGeneration } = version;
    if (custodyBlob === undefined || sealedGeneration === undefined || erased.has(version)) throw unavailable('custody does not hold this version');
    const cached = cache.get(kid, sealedGeneration);
    if (cached !== undefined) return cached;
    const seeds = openBlob(custodyBlob, { kid, generation: sealedGeneration }, rootKeys, memory);
    if (seeds === undefined) throw unavailable(DOES_NOT_OPEN);
    try {
      const spec = specOfVersion(version);
      if (seeds.length !== seedBytesOf(spec, primitives)) throw unavailable(DOES_NOT_OPEN);
      const parts = privatePartsFrom(spec, seeds, deps);
      // A key that would sign for another public part gives itself away by one signature.
      if (!isSame(parts.publicParts, version.publicParts)) {
        parts.destroy();
        throw unavailable(DOES_NOT_OPEN);
      }
      cache.put(kid, sealedGeneration, parts);
      return parts;
    } finally {
      memory.give(seeds);
    }
  };

  return {
    ...usesOf(unseal),

    async generate(kid, spec) {
      forget(kid);
      const seeds = newSeeds(spec, deps);
      unsettled.set(kid, seeds);
      const parts = privatePartsFrom(spec, seeds, deps);
      parts.destroy();
      return {
        publicParts: parts.publicParts,
        attestationClass,
        seal(generation) {
          try {
            return sealBlob(seeds, { kid, generation }, aead, rootKeys);
          } finally {
            forget(kid);
          }
        },
      };
    },

    async erase(version) {
      erased.add(version);
      forget(version.kid);
      cache.drop(version.kid);
    },

    reseal({ kid, sealedGeneration: generation, blob }) {
      if (epochOf(blob) === rootKeys.current()) return blob;
      const seeds = openBlob(blob, { kid, generation }, rootKeys, memory);
      if (seeds === undefined) throw unavailable(DOES_NOT_OPEN);
      try {
        return sealBlob(seeds, { kid, generation }, aead, rootKeys);
      } finally {
        memory.give(seeds);
      }
    },

    unsealed: cache.size,
  };
}

const DOES_NOT_OPEN = 'the sealed private part of this version does not open: it was changed, moved, or is of another root key';

function unavailable(hint: string): KmsError {
  return new KmsError('StoreUnavailable', { hint });
}

function isSame(made: readonly PublicPart[], recorded: readonly PublicPart[]): boolean {
  return made.length === recorded.length && made.every(({ alg, bytes }, i) => recorded[i]?.alg === alg && bytes.equals(recorded[i].bytes));
}
