import type { Op } from '../core/log/entry.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Tracing } from '../ports/tracing.ts';
import type { Caller, ClientCall } from './call.ts';
import type { ClockGuard } from './clock-guard.ts';
import type { Refusals } from './refusals.ts';
import { KmsError } from '../core/errors.ts';
import { beginCall } from './call.ts';
import { noInput } from './refusals.ts';

export interface PerformDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly tracing: Tracing;
  readonly clockGuard: ClockGuard;
  /** Throws what is known to stand against any entry, and where refusals go. */
  readonly journal: { readonly requireWritable: () => void; readonly refusals: Refusals };
}

export interface Perform {
  /** Runs one operation: opens its call; counts, logs and, when it is refused, enters how it ended. `invalid` is a verify that said false. */
  one<T>(caller: Caller, op: Op, opId: string | undefined, work: (call: ClientCall) => Promise<T>, hashInput?: () => string): Promise<T>;
  /** Runs the items at once, each an operation of its own; answers and refusals in their order. */
  batch<R, T>(caller: Caller, op: Op, items: readonly BatchItem<R>[], work: (call: ClientCall, request: R) => Promise<T>, hashInput: (request: R) => string): Promise<readonly (T | KmsError)[]>;
}

interface BatchItem<R> {
  readonly opId: string | undefined;
  /** Throws what is wrong with this item alone. */
  readonly parse: () => R;
}

/** Operations that change nothing and need no trusted time: they go on when the clock is doubted. The other is the way out of the doubt. */
const CLOCK_FREE: ReadonlySet<Op> = new Set(['verify', 'accept-clock']);
/** Operations that are done without their entry when there is no other way. */
const LOG_FREE: ReadonlySet<Op> = new Set(['verify']);

export function makePerform({ clock, random, telemetry, tracing, clockGuard, journal }: PerformDeps): Perform {
  const run = <T>(caller: Caller, op: Op, opId: string | undefined, work: (call: ClientCall) => Promise<T>, hashInput: () => string): Promise<T> =>
    tracing.operation(op, caller, () => runTraced(caller, op, opId, work, hashInput));

  const runTraced = async <T>(caller: Caller, op: Op, opId: string | undefined, work: (call: ClientCall) => Promise<T>, hashInput: () => string): Promise<T> => {
    const call: ClientCall = beginCall({ caller, actor: caller.actor, corrId: caller.corrId, op, opId: opId ?? random.uuidv7(), startedNs: clock.monotonicNs() });
    try {
      if (!CLOCK_FREE.has(op)) clockGuard.require();
      // Before anything is signed, opened or changed.
      if (!LOG_FREE.has(op)) journal.requireWritable();
      const answer = await work(call);
      report(call, isInvalid(answer) ? 'invalid' : 'ok');
      return answer;
    } catch (fault) {
      const refusal = KmsError.from(fault);
      report(call, refusal.code, refusal);
      refusal.isReported = true;
      if (!call.isLogged) await journal.refusals.record(refusal, call, hashInput);
      throw refusal;
    } finally {
      for (const release of call.releases) release();
    }
  };

  const report = ({ op, opId, caller, subject, startedNs }: ClientCall, result: string, refusal?: KmsError): void => {
    telemetry.operation({
      op, opId, result, refusal,
      alg: subject?.key.alg ?? 'none',
      latencyMs: Number(clock.monotonicNs() - startedNs) / 1e6,
      corrId: caller.corrId,
      requestId: caller.requestId,
      peer: caller.peer,
      tenant: subject?.key.tenant,
      version: subject?.version,
    });
  };

  return {
    one: (caller, op, opId, work, hashInput = noInput) => run(caller, op, opId, work, hashInput),
    batch: (caller, op, items, work, hashInput) =>
      Promise.all(items.map(async (item) => {
        let request: Parameters<typeof hashInput>[0] | undefined;
        try {
          return await run(caller, op, item.opId, (call) => work(call, (request = item.parse())), () => (request === undefined ? noInput() : hashInput(request)));
        } catch (fault) {
          return KmsError.from(fault);
        }
      })),
  };
}

function isInvalid(answer: unknown): boolean {
  return typeof answer === 'object' && answer !== null && 'ok' in answer && answer.ok === false;
}
