import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Clock } from '../ports/clock.ts';
import type { Custody } from '../ports/custody.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Random } from '../ports/random.ts';
import type { Call, Subject } from './call.ts';
import type { Decide } from './decide.ts';
import type { KnownEnd } from './known-ends.ts';
import type { KeyRules } from './key-rules.ts';
import type { MakeVersion } from './make-version.ts';
import type { Mutate } from './mutate.ts';
import { specOf } from '../core/algorithm/table.ts';
import { KmsError } from '../core/errors.ts';
import { ownCall } from './call.ts';
import { fixed, moveVersions, requireRotatable } from './change-key.ts';

export interface OwnChangesDeps {
  readonly store: KeyStore;
  readonly custody: Custody;
  readonly mutate: Mutate;
  readonly make: { readonly version: MakeVersion; readonly rules: KeyRules; readonly decide: Decide };
  readonly clock: Clock;
  readonly random: Random;
}

/** What the service changes by itself: each an operation in the log, with the service as its actor. */
export interface OwnChanges {
  rotate(base: string): Promise<void>;
  /** A scheduled version whose time has come. */
  erase(base: string, version: number): Promise<void>;
  /** Holds or ends a version as it was before a restore; a scheduled one gets its time anew. */
  endAgain(end: KnownEnd): Promise<void>;
}

/** `after` of a destruction that is scheduled anew: the default of DESIGN §2. */
const AGAIN_AFTER_MS = 7 * 86_400_000;

export function makeOwnChanges({ store, custody, mutate, make, clock, random }: OwnChangesDeps): OwnChanges {
  /** The key as it stands when the change's turn has come, and the named version, else its current one. */
  const find = async (call: Call, base: string, number: number | undefined): Promise<Subject> => {
    const key = await store.find(base);
    const version = key?.versions.at((number ?? 0) - 1);
    if (key === undefined || version === undefined) throw new KmsError('NotFound');
    call.subject = { key, version, spec: specOf(key.alg, key.parameterSet) };
    return call.subject;
  };

  const erased = (key: KeyRecord, version: VersionRecord): KeyRecord => moveVersions(key, 'erase', (one) => one === version, { nowMs: clock.wallMs(), afterMs: 0 });

  const ended = (key: KeyRecord, version: VersionRecord, state: KnownEnd['state']): KeyRecord => {
    const isIt = (one: VersionRecord): boolean => one.version === version.version;
    const nowMs = clock.wallMs();
    if (state === 'disabled') return moveVersions(key, 'disable', isIt, { nowMs, afterMs: 0 });
    if (state === 'scheduled') return moveVersions(key, 'destroy', isIt, { nowMs, afterMs: AGAIN_AFTER_MS });
    const due = { ...key, versions: key.versions.with(version.version - 1, { ...version, destroyAtMs: nowMs }) };
    return moveVersions(due, 'erase', isIt, { nowMs, afterMs: 0 });
  };

  const end = async ({ base, version: number, state }: KnownEnd): Promise<void> => {
    const call = ownCall(state === 'disabled' ? 'disable' : 'destroy', { clock, random });
    await mutate(call, {
      place: [], body: { kid: base, version: number }, opId: undefined, base,
      authorise: async () => undefined,
      check: async () => {
        await find(call, base, number);
      },
      change: async () => {
        const { key, version } = await find(call, base, number);
        const put = fixed(ended(key, version, state));
        if (state === 'destroyed') await custody.erase(version);
        return { put };
      },
      answer: () => undefined,
    });
  };

  return {
    async endAgain(known) {
      const before = (await store.find(known.base))?.versions[known.version - 1]?.state;
      // As it was: scheduled, then destroyed, an entry each. So a later restore reads it right.
      if (known.state === 'destroyed' && before !== 'scheduled') await end({ ...known, state: 'scheduled' });
      await end(known);
    },

    async rotate(base) {
      const call = ownCall('rotate', { clock, random });
      await mutate(call, {
        place: [], body: { kid: base }, opId: undefined, base,
        authorise: async () => undefined,
        check: async () => {
          await requireRotatable(call, (await find(call, base, undefined)).key, make);
        },
        change: async () => make.version(call, (await find(call, base, undefined)).key),
        answer: () => undefined,
      });
    },

    async erase(base, number) {
      const call = ownCall('destroy', { clock, random });
      await mutate(call, {
        place: [], body: { kid: base, version: number }, opId: undefined, base,
        authorise: async () => undefined,
        check: async () => {
          const { key, version } = await find(call, base, number);
          erased(key, version);
        },
        change: async () => {
          const { key, version } = await find(call, base, number);
          const put = fixed(erased(key, version));
          // Gone before the record says so: a crash in between erases again, and forgets nothing.
          await custody.erase(version);
          return { put };
        },
        answer: () => undefined,
      });
    },
  };
}
