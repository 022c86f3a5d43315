import type { Telemetry } from '../ports/telemetry.ts';
import { KmsError } from '../core/errors.ts';

/** What does not belong to the rest: the log is at odds with itself, or with one of the other two. */
type Part = 'log' | 'anchor' | 'store';

/** What was found to be at odds, for good: an operator has to look, and the service to start again (DESIGN §8). */
export interface Integrity {
  /** In words that name the entry, the file or the number. The first finding of each part is told, as an alarm, and stays. */
  fail(part: Part, what: string): void;
  faultOf(part: Part): string | undefined;
  isWhole(): boolean;
  /** Throws while anything is at odds: for all but verify and reads. */
  require(): void;
}

/** A log that can be told that it stands on something wrong: it takes no more entries then. */
interface FallibleLog {
  integrityFault(): string | undefined;
  failIntegrity(what: string): void;
}

const LOG_AT_ODDS = { hint: 'the audit log was found to be at odds; /readyz says with what' };
const STORE_AT_ODDS = { hint: 'the key store and the audit log are at odds; /readyz says how' };

/** Begins with what the log found by itself when it was opened. */
export function createIntegrity({ log, telemetry }: { readonly log: FallibleLog; readonly telemetry: Telemetry }): Integrity {
  const faults = new Map<Part, string>();

  const fail = (part: Part, what: string): void => {
    if (faults.has(part)) return;
    faults.set(part, what);
    // With the store alone at odds the log goes on: verify and refusals are still entered.
    if (part !== 'store') log.failIntegrity(what);
    telemetry.event('error', 'audit_integrity_failed', { part, what });
  };

  const found = log.integrityFault();
  if (found !== undefined) fail('log', found);

  return {
    fail,
    faultOf: (part) => faults.get(part),
    isWhole: () => faults.size === 0,
    require() {
      if (faults.has('log') || faults.has('anchor')) throw new KmsError('AuditUnavailable', LOG_AT_ODDS);
      if (faults.has('store')) throw new KmsError('StoreUnavailable', STORE_AT_ODDS);
    },
  };
}
