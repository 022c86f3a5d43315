import type { Custody } from '../../ports/custody.ts';
import type { PrivateParts, PrivatePartsDeps } from '../crypto/private-parts.ts';
import { KmsError } from '../../core/errors.ts';
import { newSeeds, privatePartsFrom, usesOf } from '../crypto/private-parts.ts';

const INMEM_CLASS = 'inmem';

/** Keys that live in this process and die with it. */
export function createInmemCustody(deps: PrivatePartsDeps): Custody {
  const heldByKid = new Map<string, PrivateParts>();

  return {
    ...usesOf(({ kid }) => {
      const parts = heldByKid.get(kid);
      if (parts === undefined) throw new KmsError('StoreUnavailable', { hint: 'custody does not hold this version' });
      return parts;
    }),

    async generate(kid, spec) {
      const seeds = newSeeds(spec, deps);
      try {
        const parts = privatePartsFrom(spec, seeds, deps);
        heldByKid.set(kid, parts);
        return { publicParts: parts.publicParts, attestationClass: INMEM_CLASS };
      } finally {
        deps.memory.give(seeds);
      }
    },

    async erase({ kid }) {
      heldByKid.get(kid)?.destroy();
      heldByKid.delete(kid);
    },
  };
}
