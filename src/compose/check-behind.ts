import type { FileStore } from '../adapters/store-file/store.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Integrity } from '../service/integrity.ts';
import { checkLogBehind } from '../adapters/audit-check/check-behind.ts';
import { describeFault } from '../adapters/audit-check/faults.ts';

interface CheckBehindDeps {
  /** Left out where there is none on the disk, or its fault is known already. */
  readonly log?: { readonly directory: string; readonly vkeys: readonly string[] };
  readonly store: Pick<FileStore, 'checkParts'> | undefined;
  readonly signal: AbortSignal;
  readonly integrity: Pick<Integrity, 'fail'>;
  readonly telemetry: Telemetry;
}

/**
 * What a start leaves for later, behind readiness and on threads of their own: the full re-read of the log from entry 0, whose findings
 * end the writing (DESIGN §8), then the rest of the store. One after the other: the first has freed its memory when the second takes its own.
 */
export async function checkBehind({ log, store, signal, integrity, telemetry }: CheckBehindDeps): Promise<void> {
  try {
    if (log !== undefined) {
      const { faults: [first], size } = await checkLogBehind(log, signal);
      if (first === undefined) telemetry.event('info', 'audit_checked', { size });
      else integrity.fail('log', describeFault(first));
    }
  } catch {
    if (!signal.aborted) telemetry.event('error', 'audit_check_failed');
  }
  await store?.checkParts(signal).catch(() => undefined);
}
