import type { AuditReader } from '../../src/ports/audit-reader.ts';
import type { Wired } from './wired.ts';

/** An entry as JSON; a test looks into what it is about. */
export type Entry = Readonly<Record<string, any>>;

type ReadLog = Pick<AuditReader, 'entries' | 'size'>;

/** What stands in a log, from an index on. */
export async function entriesFrom(log: ReadLog, from = 0): Promise<readonly Entry[]> {
  const found: Entry[] = [];
  for (;;) {
    const entries = await log.entries(from + found.length, log.size());
    if (entries.length === 0) return found;
    for (const entry of entries) found.push(JSON.parse(entry.toString()) as Entry);
  }
}

/** What one piece of work adds to the log. */
export async function entriesOf({ audit }: Pick<Wired, 'audit'>, work: () => Promise<unknown>): Promise<readonly Entry[]> {
  const before = audit.size();
  await work();
  return entriesFrom(audit, before);
}
