import type { ErrorCode } from '../../core/errors.ts';
import type { AuditEvent } from '../../core/log/entry.ts';
import { KmsError } from '../../core/errors.ts';

/** Events of one call, which go into the log together or not at all. */
interface Waiter {
  readonly events: readonly AuditEvent[];
  readonly mustFlush: boolean;
  readonly resolve: (at: { readonly firstIndex: number }) => void;
  readonly reject: (fault: unknown) => void;
  firstIndex: number;
}

/** Is told of entries that the log did not take, and why. */
export type OnRefused = (code: ErrorCode, entries: number) => void;

/** Calls in the order of their arrival, until they are answered. */
export interface Waiters {
  /** Throws `Backpressure` when too many entries wait; a batch is taken whatever its size when none does. */
  add(events: readonly AuditEvent[], mustFlush: boolean): Promise<{ readonly firstIndex: number }>;
  /** Refuses a call that may not even wait. */
  turnAway(events: readonly AuditEvent[], code: ErrorCode): Promise<never>;
  /** The first ones for which `admit` says true; one for which it throws gets its fault, and does not hold up the others. */
  take(admit: (waiter: Waiter) => boolean): readonly Waiter[];
  accept(waiters: readonly Waiter[]): void;
  refuse(waiters: readonly Waiter[], cause: unknown): void;
  /** All that were not taken yet. */
  refuseQueue(cause: unknown): void;
  isQueueEmpty(): boolean;
  /** Entries not answered yet. */
  unanswered(): number;
}

export function createWaiters(queueMax: number, onRefused: OnRefused): Waiters {
  const queue: Waiter[] = [];
  let unanswered = 0;

  const answer = (waiters: readonly Waiter[], settle: (waiter: Waiter) => void): void => {
    for (const waiter of waiters) {
      unanswered -= waiter.events.length;
      settle(waiter);
    }
  };

  const reject = (waiters: readonly Waiter[], fault: KmsError): void =>
    answer(waiters, (waiter) => {
      onRefused(fault.code, waiter.events.length);
      waiter.reject(fault);
    });

  const isTaken = (waiter: Waiter, admit: (waiter: Waiter) => boolean): boolean | undefined => {
    try {
      return admit(waiter);
    } catch (fault) {
      reject([waiter], KmsError.from(fault));
      return undefined;
    }
  };

  const refuse = (waiters: readonly Waiter[], cause: unknown): void => reject(waiters, new KmsError('AuditUnavailable', { cause }));

  const turnAway = (events: readonly AuditEvent[], code: ErrorCode): Promise<never> => {
    onRefused(code, events.length);
    return Promise.reject(new KmsError(code, code === 'Backpressure' ? { queue: 'audit' } : {}));
  };

  return {
    add(events, mustFlush) {
      if (unanswered > 0 && unanswered + events.length > queueMax) return turnAway(events, 'Backpressure');
      unanswered += events.length;
      return new Promise((resolve, reject) => {
        queue.push({ events, mustFlush, resolve, reject, firstIndex: 0 });
      });
    },
    turnAway,
    take(admit) {
      const taken: Waiter[] = [];
      let seen = 0;
      for (const waiter of queue) {
        const fits = isTaken(waiter, admit);
        if (fits === false) break;
        if (fits === true) taken.push(waiter);
        seen++;
      }
      queue.splice(0, seen);
      return taken;
    },
    accept: (waiters) => answer(waiters, ({ resolve, firstIndex }) => resolve({ firstIndex })),
    refuse,
    refuseQueue: (cause) => refuse(queue.splice(0), cause),
    isQueueEmpty: () => queue.length === 0,
    unanswered: () => unanswered,
  };
}
