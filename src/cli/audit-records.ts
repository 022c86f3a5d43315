import type { AuditEntry } from '../../client/src/wire.ts';
import type { KmsClient } from '../../client/src/client.ts';
import type { RecordFilter } from './audit-filter.ts';
import { canonicalJson } from '../core/canonical-json.ts';
import { isAsked } from './audit-filter.ts';

export interface LogRecord {
  readonly index: number;
  readonly entry: AuditEntry;
  /** The canonical form, which the log has hashed. */
  readonly text: string;
}

export interface Span {
  readonly from: number;
  /** Up to here, and without it. */
  readonly to: number;
}

/** Where records are read: the service, inside the caveats of a token, or the files. */
export interface RecordSource {
  /** From the oldest that is kept to the end of the log as it is now. */
  span(): Promise<Span>;
  /** Those that are asked for, in their order; tells how far it has looked, found or not. */
  read(span: Span, filter: RecordFilter, seen?: (upTo: number) => void): AsyncGenerator<LogRecord, void, undefined>;
}

/** Beyond any log: what is read from there is how large it is. */
const FAR = 999_999_999_999_999;
const PAGE = 1000;

export function recordsOf(client: Pick<KmsClient, 'records'>): RecordSource {
  return {
    span: async () => ({ from: 0, to: (await client.records({ from: FAR, limit: 1 })).tree_size }),
    async *read({ from, to }, filter, seen) {
      for (let at: number | undefined = from; at !== undefined && at < to;) {
        const { records, next } = await client.records({ from: at, limit: Math.min(PAGE, to - at), ...filter.query });
        for (const { index, entry } of records) if (index < to && isAsked(entry, filter)) yield { index, entry, text: canonicalJson(entry) };
        at = next;
        seen?.(Math.min(at ?? to, to));
      }
    },
  };
}

/** One line of JSON for programs: what `export` writes, too. */
export function recordJson({ index, text }: LogRecord): string {
  return `{"entry":${text},"index":${index}}\n`;
}

/** The newest so many that are asked for, and where the log ended as they were read. */
export async function newestOf(source: RecordSource, count: number, filter: RecordFilter): Promise<{ readonly records: readonly LogRecord[]; readonly end: number }> {
  const { from: first, to: end } = await source.span();
  const parts: (readonly LogRecord[])[] = [];
  let missing = count;
  for (let [to, width] = [end, Math.max(count, PAGE)]; to > first && missing > 0; width *= 2) {
    const from = Math.max(first, to - width);
    const part = await Array.fromAsync(source.read({ from, to }, filter));
    parts.push(part.slice(-missing));
    missing -= part.length;
    to = from;
  }
  return { records: parts.toReversed().flat(), end };
}

/** Where the first record stands that is not before a time: times never go back. */
export async function indexAt(source: RecordSource, ts: string, span: Span): Promise<number> {
  let { from: low, to: high } = span;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const found = await firstOf(source.read({ from: middle, to: high }, { query: {} }));
    if (found === undefined || found.entry.ts >= ts) high = middle;
    else low = found.index + 1;
  }
  return low;
}

async function firstOf(records: AsyncGenerator<LogRecord, void, undefined>): Promise<LogRecord | undefined> {
  for await (const record of records) return record;
  return undefined;
}
