import type { KeyRecord } from '../core/key/record.ts';
import type { Op } from '../core/log/entry.ts';
import type { Clock } from '../ports/clock.ts';
import type { Custody } from '../ports/custody.ts';
import type { DueWork, KeyStore } from '../ports/key-store.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Call } from './call.ts';
import type { ClockGuard } from './clock-guard.ts';
import type { MakeVersion } from './make-version.ts';
import type { Mutate } from './mutate.ts';
import { KmsError } from '../core/errors.ts';
import { currentVersion } from '../core/key/record.ts';
import { specOf } from '../core/algorithm/table.ts';
import { moveVersions } from './change-key.ts';

export interface HousekeepingDeps {
  readonly store: KeyStore;
  readonly custody: Custody;
  readonly mutate: Mutate;
  readonly makeVersion: MakeVersion;
  readonly clocks: { readonly clock: Clock; readonly guard: ClockGuard };
  readonly report: { readonly telemetry: Telemetry; readonly random: Random };
}

/**
 * What the service does by itself when its time has come: erases private parts and rotates keys, each
 * an operation in the log with the service as its actor. Nothing is done while the clock is doubted.
 */
export function makeHousekeeping({ store, custody, mutate, makeVersion, clocks, report }: HousekeepingDeps): () => Promise<void> {
  const callOf = (op: Op): Call => {
    const id = report.random.uuidv7();
    return { actor: { via: 'service' }, corrId: id, requestId: id, op, opId: id, startedNs: clocks.clock.monotonicNs() };
  };

  const erase = async (call: Call, key: KeyRecord, number: number) => {
    const version = key.versions[number - 1];
    if (version === undefined) throw new KmsError('NotFound');
    const moved = moveVersions(key, 'erase', (one) => one === version, { nowMs: clocks.clock.wallMs(), afterMs: 0 });
    call.subject = { key: moved, version, spec: specOf(key.alg, key.parameterSet) };
    await custody.erase(version);
    return { key: moved };
  };

  const settle = async ({ base, eraseVersion }: DueWork): Promise<void> => {
    const op = eraseVersion === undefined ? 'rotate' : 'destroy';
    const call = callOf(op);
    await mutate(call, {
      place: [], body: { kid: base, due: true }, opId: undefined, base,
      authorise: async () => {
        const key = await store.find(base);
        if (key === undefined) throw new KmsError('NotFound');
        const version = eraseVersion === undefined ? currentVersion(key) : key.versions[eraseVersion - 1];
        if (version === undefined) throw new KmsError('NotFound');
        call.subject = { key, version, spec: specOf(key.alg, key.parameterSet) };
      },
      change: async () => {
        const key = call.subject?.key;
        if (key === undefined) throw new Error('found before it is changed');
        return eraseVersion === undefined ? makeVersion(call, key) : erase(call, key, eraseVersion);
      },
      answer: () => undefined,
    });
  };

  return async () => {
    if (!clocks.guard.isTrusted()) return;
    for (const work of await store.due(clocks.clock.wallMs())) {
      try {
        await settle(work);
      } catch (fault) {
        report.telemetry.event('error', 'housekeeping_failed', { code: KmsError.from(fault).code });
      }
    }
  };
}
