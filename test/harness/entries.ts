import type { Wired } from './wired.ts';

/** An entry as JSON; a test looks into what it is about. */
export type Entry = Readonly<Record<string, any>>;

/** What stands in the log from an index on. */
export function entriesFrom({ audit }: Pick<Wired, 'audit'>, from = 0): readonly Entry[] {
  return Array.from({ length: audit.size() - from }, (_, i) => JSON.parse(audit.entry(from + i) ?? '{}') as Entry);
}

/** What one piece of work adds to the log. */
export async function entriesOf(wired: Pick<Wired, 'audit'>, work: () => Promise<unknown>): Promise<readonly Entry[]> {
  const before = wired.audit.size();
  await work();
  return entriesFrom(wired, before);
}
