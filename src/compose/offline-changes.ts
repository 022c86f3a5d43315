import type { OpenedAudit } from './audit.ts';
import type { Config } from '../config/load.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Custody } from '../ports/custody.ts';
import type { Random } from '../ports/random.ts';
import type { Subject } from '../service/call.ts';
import type { KnownEnd } from '../service/known-ends.ts';
import type { OwnChanges } from '../service/own-changes.ts';
import { specOf } from '../core/algorithm/table.ts';
import { createBuiltinPolicy } from '../adapters/policy-builtin/policy.ts';
import { ownRules } from './policy.ts';
import { LAST_NONCE } from '../ports/key-store.ts';
import { eventOf, ownCall } from '../service/call.ts';
import { makeDecide } from '../service/decide.ts';
import { createWorkQueue } from '../service/work-queue.ts';
import { makeKeyRules } from '../service/key-rules.ts';
import { makeMakeVersion } from '../service/make-version.ts';
import { hashOfBody, makeMutate } from '../service/mutate.ts';
import { createOutcomes } from '../service/outcomes.ts';
import { makeOwnChanges } from '../service/own-changes.ts';
import { makeReserveNonces } from '../service/reserve-nonces.ts';

export interface OfflineDeps {
  readonly config: Config;
  readonly audit: Pick<OpenedAudit, 'log'>;
  readonly store: KeyStore;
  readonly custody: Custody;
  readonly clock: Clock;
  readonly random: Random;
}

/** Changes that are made while nobody is served, by the rules and with the entries of those that a service makes. */
export interface OfflineChanges {
  endAgain(ends: readonly KnownEnd[]): Promise<void>;
  /** Leaves no nonce to any AEAD version, so that each only unwraps; says how many they are. */
  spendNonces(): Promise<number>;
  /** The entry that says what was restored. */
  noteRestored(backupSha256: string, generation: number): Promise<void>;
}

/** So many at once share a flush. */
const AT_ONCE = 256;
const PAGE = 1000;

export function offlineChanges({ config, audit: { log }, store, custody, clock, random }: OfflineDeps): OfflineChanges {
  const outcomes = createOutcomes({ audit: log });
  const rules = makeKeyRules(() => ({ allowed: new Set() }), store);
  const decide = makeDecide(createBuiltinPolicy(() => ownRules(config)));
  const mutate = makeMutate({ store, log: { audit: log, outcomes }, anchoring: undefined, clock, signing: createWorkQueue({ width: AT_ONCE, rushWidth: AT_ONCE, max: () => Infinity, full: {}, clock }), requireWritable: () => undefined });
  const own: OwnChanges = makeOwnChanges({ store, custody, mutate, make: { version: makeMakeVersion({ custody, clock }), rules, decide }, clock, random });
  const reserve = makeReserveNonces({ store, log: { audit: log, outcomes }, anchoring: undefined, clock, random });

  const eachOf = async <T>(all: readonly T[], work: (one: T) => Promise<unknown>): Promise<void> => {
    for (let at = 0; at < all.length; at += AT_ONCE) await Promise.all(all.slice(at, at + AT_ONCE).map(work));
    await outcomes.writeOwed();
  };

  const wrapping = async function* (): AsyncGenerator<readonly Subject[]> {
    let after: string | undefined;
    do {
      const { keys, next } = await store.list({ tenant: undefined, purpose: undefined, alg: undefined, state: undefined, label: undefined, admits: () => true, after, limit: PAGE });
      yield keys.flatMap((key) => {
        const spec = specOf(key.alg, key.parameterSet);
        return spec.kind === 'aead' ? key.versions.filter(({ state }) => state !== 'destroyed').map((version) => ({ key, version, spec })) : [];
      });
      after = next;
    } while (after !== undefined);
  };

  return {
    endAgain: (ends) => eachOf(ends, own.endAgain),
    async spendNonces() {
      let spent = 0;
      for await (const subjects of wrapping()) {
        await eachOf(subjects, (subject) => reserve(subject, LAST_NONCE));
        spent += subjects.length;
      }
      return spent;
    },
    async noteRestored(sha256, generation) {
      const call = ownCall('restore-backup', { clock, random });
      await log.append([eventOf(call, { inputHash: hashOfBody({ sha256 }), result: 'ok', reason: `sha256 ${sha256}`, generation })], { mustFlush: true });
    },
  };
}

