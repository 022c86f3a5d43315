import type { AuditLog } from '../ports/audit-log.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall } from './call.ts';
import type { ClockGuard } from './clock-guard.ts';
import { eventOf } from './call.ts';
import { hashOfBody } from './mutate.ts';

export interface AcceptClockAnswer {
  readonly audit: { readonly index: number; readonly opId: string };
}

export interface AcceptClockDeps {
  readonly authorise: Authorise;
  readonly audit: AuditLog;
  readonly clockGuard: ClockGuard;
}

/** POST /admin/accept-clock: the wall clock is trusted at once, and the log says who said so. */
export function makeAcceptClock({ authorise, audit, clockGuard }: AcceptClockDeps) {
  return async (call: ClientCall, body: Readonly<Record<string, unknown>>): Promise<AcceptClockAnswer> => {
    authorise.instance(call.caller, 'kms:admin');
    const { firstIndex } = await audit.append([eventOf(call, { inputHash: hashOfBody(body), result: 'ok' })], { mustFlush: true });
    clockGuard.accept();
    return { audit: { index: firstIndex, opId: call.opId } };
  };
}
