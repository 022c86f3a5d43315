import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import { KmsError } from '../core/errors.ts';

/**
 * Doubts the wall clock when it steps against the monotonic one by more than the tolerance, stands behind the last audit
 * entry, or is not kept right where that is required; trusts it again after all was well for a while (DESIGN §9).
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

export interface ClockGuardDeps {
  readonly clock: Clock;
  readonly audit: Pick<AuditLog, 'lastEntryMs'>;
  readonly toleranceMs: () => number;
  /** What keeps the wall clock right does so, or nobody requires it. */
  readonly isKeptRight: () => boolean;
}

const STEADY_MS = 30_000;

export function createClockGuard({ clock, audit, toleranceMs, isKeptRight }: ClockGuardDeps): ClockGuard {
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
    if (stepped || isBehind || (!isAccepted && !isKeptRight())) doubtedUntilNs = nowNs + BigInt(STEADY_MS) * 1_000_000n;
    else if (doubtedUntilNs !== undefined && nowNs >= doubtedUntilNs) doubtedUntilNs = undefined;
  };

  return {
    check,
    isTrusted: () => doubtedUntilNs === undefined,
    require() {
      if (doubtedUntilNs !== undefined) throw new KmsError('ClockSkew', { hint: 'the wall clock stepped, or is not kept right; it is trusted again when all was well for 30 s, or by ron-kms audit accept-clock', retryAfterS: 30 });
    },
    accept() {
      expectedOffsetMs = offsetMs();
      doubtedUntilNs = undefined;
      isAccepted = true;
    },
  };
}
