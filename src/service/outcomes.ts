import type { AuditEvent } from '../core/log/entry.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { KmsError } from '../core/errors.ts';

/**
 * The outcomes of mutations, in the order of their commits: the generation in the log never goes back, and what a
 * crash leaves open came last. What happened has happened: a full queue only delays its entry, and what the log does
 * not take now it is still owed.
 */
export interface Outcomes {
  /** Flushed when it resolves, and so is all before it; throws `AuditUnavailable` when it is not in the log yet. */
  append(event: AuditEvent): Promise<void>;
  /** Writes what the log is owed, once it takes entries again; to be called about once a second. Never throws. */
  writeOwed(): Promise<void>;
}

const FLUSHED = { mustFlush: true };
const ROOM_WITHIN_MS = 5;

export function createOutcomes({ audit }: { readonly audit: AuditLog }): Outcomes {
  /** Not known to be in the log, oldest first. */
  const owed: AuditEvent[] = [];
  let lastRound: Promise<void> = Promise.resolve();
  let nextRound: Promise<void> | undefined;

  /** All that is owed, together or not at all. */
  const round = async (): Promise<void> => {
    nextRound = undefined;
    const events = [...owed];
    while (!(await isTaken(events))) await pause(ROOM_WITHIN_MS);
    owed.splice(0, events.length);
  };

  /** False when there is no room just now. */
  const isTaken = async (events: readonly AuditEvent[]): Promise<boolean> => {
    try {
      await audit.append(events, FLUSHED);
      return true;
    } catch (fault) {
      if (KmsError.from(fault).code === 'Backpressure') return false;
      throw fault;
    }
  };

  /** One at a time; all that come while one is under way share the next. */
  const write = (): Promise<void> => {
    if (nextRound === undefined) {
      nextRound = lastRound.then(round);
      lastRound = nextRound.catch(() => undefined);
    }
    return nextRound;
  };

  return {
    append(event) {
      owed.push(event);
      return write();
    },
    async writeOwed() {
      // What the log does not take it says itself.
      if (owed.length > 0 && audit.isReady()) await write().catch(() => undefined);
    },
  };
}
