import type { AuditEvent } from '../core/log/entry.ts';

/**
 * The append-only log. Entries stand in the order of the calls; the promise resolves, once for all
 * entries waiting, when they are as durable as the log is set to be. It throws `AuditUnavailable` when
 * they cannot be written, and `Backpressure` when too many wait; then none of them is in the log.
 */
export interface AuditLog {
  /** The indices of the entries, contiguous from the first. `mustFlush` waits for the disk whatever the log is set to. */
  append(events: readonly AuditEvent[], options?: { readonly mustFlush?: boolean }): Promise<{ readonly firstIndex: number }>;
  /** UTC time of the last entry, milliseconds; 0 while there is none. Time may not go behind it. */
  lastEntryMs(): number;
  /** True while entries are accepted: no write has failed, nothing is at odds with the files or the anchor. */
  isReady(): boolean;
}
