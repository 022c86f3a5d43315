import type { KeyRecord } from '../core/key/record.ts';
import type { Op } from '../core/log/entry.ts';
import type { Clock } from '../ports/clock.ts';
import type { Custody } from '../ports/custody.ts';
import type { DueWork, KeyStore } from '../ports/key-store.ts';
import type { Policy } from '../ports/policy.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Call, Subject } from './call.ts';
import type { ClockGuard } from './clock-guard.ts';
import type { KeyRules } from './key-rules.ts';
import type { MakeVersion } from './make-version.ts';
import type { Mutate } from './mutate.ts';
import { KmsError } from '../core/errors.ts';
import { specOf } from '../core/algorithm/table.ts';
import { fixed, moveVersions, requireRotatable } from './change-key.ts';

export interface HousekeepingDeps {
  readonly store: KeyStore;
  readonly custody: Custody;
  readonly mutate: Mutate;
  readonly make: { readonly version: MakeVersion; readonly rules: KeyRules; readonly policy: Policy };
  readonly clocks: { readonly clock: Clock; readonly guard: ClockGuard };
  readonly report: { readonly telemetry: Telemetry; readonly random: Random };
}

/**
 * What the service does by itself when its time has come: erases private parts and rotates keys, each
 * an operation in the log with the service as its actor. Nothing is done while the clock is doubted.
 */
export function makeHousekeeping({ store, custody, mutate, make, clocks, report }: HousekeepingDeps): () => Promise<void> {
  const nowMs = (): number => clocks.clock.wallMs();

  const callOf = (op: Op): Call => {
    const id = report.random.uuidv7();
    return { actor: { via: 'service' }, corrId: id, op, opId: id, startedNs: clocks.clock.monotonicNs(), admitted: undefined, subject: undefined, isLogged: false };
  };

  /** The key as it stands when the work's turn has come, and the named version, else its current one. */
  const find = async (call: Call, base: string, number: number | undefined): Promise<Subject> => {
    const key = await store.find(base);
    const version = key?.versions.at((number ?? 0) - 1);
    if (key === undefined || version === undefined) throw new KmsError('NotFound');
    call.subject = { key, version, spec: specOf(key.alg, key.parameterSet) };
    return call.subject;
  };

  const erased = ({ key, version }: Subject): KeyRecord => moveVersions(key, 'erase', (one) => one === version, { nowMs: nowMs(), afterMs: 0 });

  const erase = async ({ base, eraseVersion }: DueWork): Promise<void> => {
    const call = callOf('destroy');
    await mutate(call, {
      place: [], body: { kid: base, version: eraseVersion }, opId: undefined, base,
      authorise: async () => undefined,
      check: async () => {
        erased(await find(call, base, eraseVersion));
      },
      change: async () => {
        const subject = await find(call, base, eraseVersion);
        const put = fixed(erased(subject));
        // Gone before the record says so: a crash in between erases again, and forgets nothing.
        await custody.erase(subject.version);
        return { put };
      },
      answer: () => undefined,
    });
  };

  const rotate = async ({ base }: DueWork): Promise<void> => {
    const call = callOf('rotate');
    await mutate(call, {
      place: [], body: { kid: base }, opId: undefined, base,
      authorise: async () => undefined,
      check: async () => requireRotatable((await find(call, base, undefined)).key, make),
      change: async () => make.version(call, (await find(call, base, undefined)).key),
      answer: () => undefined,
    });
  };

  return async () => {
    if (!clocks.guard.isTrusted()) return;
    for (const work of await store.due(clocks.clock.wallMs())) {
      try {
        await (work.eraseVersion === undefined ? rotate(work) : erase(work));
      } catch (fault) {
        report.telemetry.event('error', 'housekeeping_failed', { code: KmsError.from(fault).code });
      }
    }
  };
}
