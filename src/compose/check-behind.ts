import type { Telemetry } from '../ports/telemetry.ts';
import type { Integrity } from '../service/integrity.ts';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { checkWholeLog } from '../adapters/audit-check/check-log.ts';
import { describeFault } from '../adapters/audit-check/faults.ts';

interface CheckBehindDeps {
  readonly directory: string;
  readonly vkeys: readonly string[];
  readonly signal: AbortSignal;
  readonly integrity: Pick<Integrity, 'fail'>;
  readonly telemetry: Telemetry;
}

/** The full re-read from entry 0, behind readiness and on a thread of its own; what it finds ends the writing (DESIGN §8). */
export function checkBehind({ directory, vkeys, signal, integrity, telemetry }: CheckBehindDeps): void {
  checkWholeLog({ directory, vkeys: vkeys.flatMap((text) => parseVkey(text) ?? []), jobs: 1, isBackground: true, signal }).then(
    ({ faults, size }) => {
      const [first] = faults;
      if (first === undefined) telemetry.event('info', 'audit_checked', { size });
      else integrity.fail('log', describeFault(first));
    },
    () => {
      if (!signal.aborted) telemetry.event('error', 'audit_check_failed');
    },
  );
}
