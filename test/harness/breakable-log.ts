import type { MemoryLog } from '../../src/adapters/audit-memory/log.ts';
import type { ErrorCode } from '../../src/core/errors.ts';
import type { AuditEvent } from '../../src/core/log/entry.ts';
import { KmsError } from '../../src/core/errors.ts';

/** A log that can be told to fail, and that remembers how it was asked. */
export interface BreakableLog extends MemoryLog {
  /** Every append fails with this from now on; undefined mends it. `isReady` says so, unless it is not known yet. */
  breakWith(code: ErrorCode | undefined, options?: { readonly isKnown?: boolean; readonly only?: (event: AuditEvent) => boolean }): void;
  /** The appends so far: what, and whether it had to be flushed. */
  readonly asked: readonly { readonly events: readonly AuditEvent[]; readonly mustFlush: boolean }[];
}

export function breakable(log: MemoryLog): BreakableLog {
  let broken: ErrorCode | undefined;
  let isReady = true;
  let isMeant = (_event: AuditEvent): boolean => broken !== undefined;
  const asked: { events: readonly AuditEvent[]; mustFlush: boolean }[] = [];
  return {
    ...log,
    asked,
    async append(events, options) {
      asked.push({ events, mustFlush: options?.mustFlush ?? false });
      if (broken !== undefined && events.some((event) => isMeant(event))) throw new KmsError(broken);
      return log.append(events);
    },
    isReady: () => isReady,
    breakWith(code, { isKnown = false, only = () => true } = {}) {
      broken = code;
      isReady = !isKnown;
      isMeant = only;
    },
  };
}
