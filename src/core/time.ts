const RFC3339 = /^\d{4}-(\d{2})-(\d{2})T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/;
export const DURATION_PATTERN = '^(0|[1-9]\\d{0,11})(ms|s|m|h|d)$';
const DURATION = new RegExp(DURATION_PATTERN);
const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** An RFC 3339 date-time (§5.6) in milliseconds since the epoch; undefined when it is none. No leap seconds. */
export function parseRfc3339(text: string): number | undefined {
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const dayMs = Date.parse(`${text.slice(0, 10)}T00:00:00Z`);
  // Date.parse rolls 31 June over into July: such a day does not exist.
  if (Number.isNaN(dayMs) || new Date(dayMs).getUTCDate() !== Number(match[2])) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** RFC 3339 UTC with milliseconds, the only form the service writes. */
export function formatRfc3339(ms: number): string {
  if (ms !== latest.ms) latest = { ms, text: new Date(ms).toISOString() };
  return latest.text;
}

/** Under load many stamps fall into one millisecond: the last one is kept. */
let latest = { ms: Number.NaN, text: '' };

/** `250ms`, `5s`, `3m`, `24h`, `7d` in milliseconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  const ms = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest text that `parseDuration` reads back to the same length. */
export function formatDuration(ms: number): string {
  const unit = (['d', 'h', 'm', 's'] as const).find((name) => ms > 0 && ms % UNIT_MS[name] === 0) ?? 'ms';
  return `${ms / UNIT_MS[unit]}${unit}`;
}
