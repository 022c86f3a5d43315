import type { AuditEvent } from '../core/log/entry.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { KmsError } from '../core/errors.ts';

/**
 * The outcomes of mutations. What happened has happened: a full queue only delays its entry, and what the log does not
 * take now it is still owed. After a crash start-up settles it.
 */
export interface Outcomes {
  /** Flushed when it resolves; throws `AuditUnavailable` when it is not in the log yet, and is written by `writeOwed`. */
  append(event: AuditEvent): Promise<void>;
  /** Writes what the log is owed, once it takes entries again; to be called about once a second. Never throws. */
  writeOwed(): Promise<void>;
}

const FLUSHED = { mustFlush: true };
const ROOM_WITHIN_MS = 5;

export function createOutcomes({ audit }: { readonly audit: AuditLog }): Outcomes {
  let owed: AuditEvent[] = [];

  return {
    async append(event) {
      for (;;) {
        try {
          await audit.append([event], FLUSHED);
          return;
        } catch (fault) {
          if (KmsError.from(fault).code === 'Backpressure') {
            await pause(ROOM_WITHIN_MS);
            continue;
          }
          owed.push(event);
          throw fault;
        }
      }
    },
    async writeOwed() {
      if (owed.length === 0 || !audit.isReady()) return;
      const events = owed;
      owed = [];
      try {
        await audit.append(events, FLUSHED);
      } catch {
        // The log says itself that it is out.
        owed = [...events, ...owed];
      }
    },
  };
}
