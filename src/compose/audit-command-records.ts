import type { Command, Io, Parsed } from '../cli/command.ts';
import type { LogRecord, RecordSource, Span } from '../cli/audit-records.ts';
import type { Progress } from '../cli/progress.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { filterAbout, filterFrom, filterOptions } from '../cli/audit-filter.ts';
import { indexAt, newestOf, recordJson } from '../cli/audit-records.ts';
import { recordLine } from '../cli/audit-text.ts';
import { UsageError } from '../cli/command.ts';
import { connectionAbout, connectionOptions } from '../cli/connection.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { flag, isOn } from '../cli/flags.ts';
import { inEntries, startProgress } from '../cli/progress.ts';
import { dirAbout, dirOption, sourceOf } from './audit-command-directory.ts';

const LINES = 10;
const LINES_MAX = 100_000;
const FOLLOW_MS = 500;

export const spanOptions = { from: { type: 'string' }, to: { type: 'string' } } as const;
export const spanAbout = { from: 'the first index; the oldest entry when left out', to: 'up to this index, and without it; the end of the log when left out' } as const;

export const tailCommand: Command = {
  name: 'audit tail',
  summary: 'Show the newest entries of the log',
  example: 'audit tail --lines 20 --follow',
  options: { lines: { type: 'string', short: 'n' }, follow: { type: 'boolean', short: 'f' }, ...filterOptions, ...dirOption, ...connectionOptions },
  about: { lines: `so many of them; ${LINES} when left out`, follow: 'stay, and show those that come', ...filterAbout, ...dirAbout, ...connectionAbout, json: 'a line of JSON for each' },
  async run(parsed, io) {
    const count = wholeFlag(parsed, 'lines') ?? LINES;
    if (count > LINES_MAX) throw new UsageError(`--lines is at most ${LINES_MAX}; ron-kms audit export gives all`);
    const filter = filterFrom(parsed);
    const source = await sourceOf(parsed, io);
    const { records, end } = await newestOf(source, count, filter);
    for (const record of records) show(parsed, io, record);
    if (!isOn(parsed, 'follow')) return EXIT.ok;
    for (let from = end; ; await pause(FOLLOW_MS)) {
      const { to } = await source.span();
      for await (const record of source.read({ from, to }, filter)) show(parsed, io, record);
      from = Math.max(from, to);
    }
  },
};

export const grepCommand: Command = {
  name: 'audit grep',
  summary: 'Show the entries that are asked for, oldest first',
  example: 'audit grep --tenant core --op sign --since 24h',
  options: { ...filterOptions, ...spanOptions, ...dirOption, ...connectionOptions },
  about: { ...filterAbout, ...spanAbout, ...dirAbout, ...connectionAbout, json: 'a line of JSON for each' },
  async run(parsed, io) {
    const filter = filterFrom(parsed);
    const asked = spanFlags(parsed);
    const source = await sourceOf(parsed, io);
    const span = await within(source, asked);
    const from = filter.since === undefined ? span.from : await indexAt(source, filter.since, span);
    const progress = startProgress(io, 'looking', span.to - from, inEntries);
    for await (const record of source.read({ from, to: span.to }, untimely(filter), countTo(progress, from))) {
      // Times never go back: behind the first that is too late there is nothing to look for.
      if (filter.until !== undefined && record.entry.ts >= filter.until) break;
      // What stands on the terminal is wiped off: the record comes there too.
      progress.end();
      show(parsed, io, record);
    }
    progress.end();
    return EXIT.ok;
  },
};

/** Advances by what lies between one place and the next. */
export function countTo(progress: Progress, from: number): (upTo: number) => void {
  let at = from;
  return (upTo) => {
    progress.advance(upTo - at);
    at = upTo;
  };
}

/** The end is looked for while reading. */
function untimely<T extends { readonly until?: string }>({ until: _until, ...filter }: T): Omit<T, 'until'> {
  return filter;
}

/** What was asked for of what there is. */
export async function within(source: RecordSource, { from, to }: Partial<Span>): Promise<Span> {
  const all = await source.span();
  return { from: Math.max(from ?? 0, all.from), to: Math.min(to ?? all.to, all.to) };
}

export function spanFlags(parsed: Parsed): Partial<Span> {
  const [from, to] = [wholeFlag(parsed, 'from'), wholeFlag(parsed, 'to')];
  if (from !== undefined && to !== undefined && from > to) throw new UsageError('--from is not behind --to');
  return { ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
}

/** A whole number from 0, as an index or a count is. */
export function wholeFlag(parsed: Parsed, name: string): number | undefined {
  const text = flag(parsed, name);
  if (text === undefined) return undefined;
  if (!/^(0|[1-9]\d{0,14})$/.test(text)) throw new UsageError(`--${name} is a whole number from 0`);
  return Number(text);
}

function show(parsed: Parsed, io: Io, record: LogRecord): void {
  io.out(isOn(parsed, 'json') ? recordJson(record) : `${recordLine(record)}\n`);
}
