import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDuration, formatRfc3339, parseDuration, parseRfc3339 } from '../../src/core/time.ts';

const two = (value: number): string => String(value).padStart(2, '0');
/** The years that RFC 3339 can write. */
const instant = fc.integer({ min: Date.UTC(1970), max: Date.UTC(9999, 11, 31, 23, 59, 59, 999) });

describe('a date-time', () => {
  test('that the service writes is read back to the same millisecond', () => {
    fc.assert(fc.property(instant, (ms) => {
      expect(formatRfc3339(ms)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(parseRfc3339(formatRfc3339(ms))).toBe(ms);
    }));
  });

  test('of any day, time and offset is read to its instant when the day exists, and refused when it does not', () => {
    const fields = fc.record({
      year: fc.integer({ min: 1, max: 9999 }), month: fc.integer({ min: 0, max: 13 }), day: fc.integer({ min: 0, max: 32 }),
      hour: fc.integer({ min: 0, max: 24 }), minute: fc.integer({ min: 0, max: 60 }), second: fc.integer({ min: 0, max: 60 }),
      sign: fc.constantFrom(1, -1), offsetHour: fc.integer({ min: 0, max: 24 }), offsetMinute: fc.integer({ min: 0, max: 60 }),
    });
    fc.assert(fc.property(fields, ({ year, month, day, hour, minute, second, sign, offsetHour, offsetMinute }) => {
      const date = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`;
      const text = `${date}T${two(hour)}:${two(minute)}:${two(second)}${sign > 0 ? '+' : '-'}${two(offsetHour)}:${two(offsetMinute)}`;
      const daysOf = [31, year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
      const isThere = day >= 1 && day <= (daysOf[month - 1] ?? 0) && hour <= 23 && minute <= 59 && second <= 59 && offsetHour <= 23 && offsetMinute <= 59;
      const utc = new Date(0);
      utc.setUTCFullYear(year, month - 1, day);
      utc.setUTCHours(hour, minute - sign * (offsetHour * 60 + offsetMinute), second);
      expect(parseRfc3339(text)).toBe(isThere ? utc.getTime() : undefined);
    }), { numRuns: 3000 });
  });

  test.each([
    ['2030-01-01T00:00:00Z', Date.UTC(2030, 0, 1)],
    ['2030-01-01T00:00:00.5Z', Date.UTC(2030, 0, 1, 0, 0, 0, 500)],
    ['2030-01-01T00:00:00.123456789Z', Date.UTC(2030, 0, 1, 0, 0, 0, 123)],
    ['2030-01-01T01:30:00+01:30', Date.UTC(2030, 0, 1)],
    ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
  ])('%s is read', (text, ms) => {
    expect(parseRfc3339(text)).toBe(ms);
  });

  test.each([
    '', '2030-01-01', '2030-01-01T00:00:00', '2030-01-01 00:00:00Z', '2030-01-01t00:00:00z', '2030-1-1T00:00:00Z', '2030-02-29T00:00:00Z', '2030-06-31T00:00:00Z',
    '2030-01-01T24:00:00Z', '2016-12-31T23:59:60Z', '2030-01-01T00:00:00.Z', '2030-01-01T00:00:00.1234567890Z', '2030-01-01T00:00Z', '2030-01-01T00:00:00+0100',
    '+002030-01-01T00:00:00Z', '-2030-01-01T00:00:00Z', ' 2030-01-01T00:00:00Z', '2030-01-01T00:00:00Z\n', '2030-01-01T00:00:00ZZ', '2030-01-01T00:00:00Z (noon)', '٢٠٣٠-01-01T00:00:00Z', '1893456000',
  ])('%j is none', (text) => {
    expect(parseRfc3339(text)).toBeUndefined();
  });
});

describe('a duration', () => {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

  test('is its number times its unit, and is written so that it is read back to the same length', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 999_999_999_999 }), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (count, unit) => {
      const ms = parseDuration(`${count}${unit}`);
      if (!Number.isSafeInteger(count * units[unit])) {
        expect(ms).toBeUndefined();
        return;
      }
      if (ms === undefined) throw new Error('a duration was expected');
      expect(ms).toBe(count * units[unit]);
      if (Number.isSafeInteger(ms)) expect(parseDuration(formatDuration(ms))).toBe(ms);
    }));
  });

  test('is written in the largest unit that fits', () => {
    expect([250, 5000, 180_000, 86_400_000, 90_000_000, 604_800_000, 0].map(formatDuration)).toEqual(['250ms', '5s', '3m', '1d', '25h', '7d', '0ms']);
  });

  test.each(['', '5', 's', '5 s', '05s', '-5s', '+5s', '1.5s', '5S', '5sec', '5s5s', '1e3s', '0x5s', '5s\n', ' 5s', '1000000000000s', '٥s'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});
