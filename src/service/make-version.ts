import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Clock } from '../ports/clock.ts';
import type { Custody } from '../ports/custody.ts';
import type { Call } from './call.ts';
import type { Change } from './mutate.ts';
import { specOf } from '../core/algorithm/table.ts';
import { blake3Hex } from '../core/digest.ts';
import { kidText } from '../core/key/kid.ts';

/** The key with one more version, freshly made in custody; becomes the call's subject. */
export type MakeVersion = (call: Call, key: KeyRecord) => Promise<Change>;

const KID_HASH_DIGITS = 8;

export function makeMakeVersion({ custody, clock }: { readonly custody: Custody; readonly clock: Clock }): MakeVersion {
  return async (call, before) => {
    const number = before.versions.length + 1;
    const kid = kidText(before.base, number);
    const spec = specOf(before.alg, before.parameterSet);
    const { publicParts, attestationClass, seal } = await custody.generate(kid, spec);
    const version: VersionRecord = {
      version: number,
      kid,
      kidHash: blake3Hex(kid).slice(0, KID_HASH_DIGITS),
      state: 'enabled',
      createdAtMs: clock.wallMs(),
      attestationClass,
      publicParts,
    };
    const withVersion = (last: VersionRecord): KeyRecord => {
      const key = { ...before, versions: [...before.versions, last] };
      call.subject = { key, version: last, spec };
      return key;
    };
    withVersion(version);
    return {
      put: (generation) => withVersion(seal === undefined ? version : { ...version, custodyBlob: seal(generation), sealedGeneration: generation }),
      undo: () => custody.erase(version),
    };
  };
}
