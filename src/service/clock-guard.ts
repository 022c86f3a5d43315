import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import { KmsError } from '../core/errors.ts';

/**
 * Doubts the wall clock when it steps against the monotonic one by more than the tolerance, or stands
 * behind the last audit entry; trusts it again after it was steady for a while (DESIGN §9).
 */
export interface ClockGuard {
  /** Looks at the clocks; to be called about once a second. */
  check(): void;
  isTrusted(): boolean;
  /** Throws `ClockSkew` while the clock is doubted. */
  require(): void;
  /** The operator says that the wall clock is right as it stands, also behind the last entry. */
  accept(): void;
}

const STEADY_MS = 30_000;

export function createClockGuard({ clock, audit, toleranceMs }: { readonly clock: Clock; readonly audit: Pick<AuditLog, 'lastEntryMs'>; readonly toleranceMs: () => number }): ClockGuard {
  const offsetMs = (): number => clock.wallMs() - Number(clock.monotonicNs() / 1_000_000n);
  let expectedOffsetMs = offsetMs();
  let doubtedUntilNs: bigint | undefined;
  /** Until the clock steps again: it runs on from where it was accepted. */
  let isAccepted = false;

  const check = (): void => {
    const nowNs = clock.monotonicNs();
    const offset = offsetMs();
    const stepped = Math.abs(offset - expectedOffsetMs) > toleranceMs();
    if (stepped) isAccepted = false;
    const isBehind = !isAccepted && clock.wallMs() + toleranceMs() < audit.lastEntryMs();
    expectedOffsetMs = offset;
    if (stepped || isBehind) doubtedUntilNs = nowNs + BigInt(STEADY_MS) * 1_000_000n;
    else if (doubtedUntilNs !== undefined && nowNs >= doubtedUntilNs) doubtedUntilNs = undefined;
  };

  return {
    check,
    isTrusted: () => doubtedUntilNs === undefined,
    require() {
      if (doubtedUntilNs !== undefined) throw new KmsError('ClockSkew', { hint: 'the wall clock stepped; it is trusted again when it was steady for 30 s, or by ron-kms audit accept-clock', retryAfterS: 30 });
    },
    accept() {
      expectedOffsetMs = offsetMs();
      doubtedUntilNs = undefined;
      isAccepted = true;
    },
  };
}
