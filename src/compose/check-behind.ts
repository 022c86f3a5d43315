import type { Log } from '../adapters/audit-log/log.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { checkWholeLog } from '../adapters/audit-check/check-log.ts';
import { describeFault } from '../adapters/audit-check/faults.ts';

interface CheckBehindDeps {
  readonly directory: string;
  readonly vkeys: readonly string[];
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly telemetry: Telemetry;
}

/** The full re-read from entry 0, behind readiness and on a thread of its own; what it finds ends the writing (DESIGN §8). */
export function checkBehind({ directory, vkeys, signal, log, telemetry }: CheckBehindDeps): void {
  checkWholeLog({ directory, vkeys: vkeys.flatMap((text) => parseVkey(text) ?? []), jobs: 1, isBackground: true, signal }).then(
    ({ faults, size }) => {
      const [first] = faults;
      if (first === undefined) telemetry.event('info', 'audit_checked', { size });
      else log.failIntegrity(describeFault(first));
    },
    () => {
      if (!signal.aborted) telemetry.event('error', 'audit_check_failed');
    },
  );
}
