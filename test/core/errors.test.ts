import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../src/core/errors.ts';
import { errorTable, KmsError, rejectReasons } from '../../src/core/errors.ts';
import { reasonOf } from '../../src/core/reason.ts';

/** What callers and operators were promised. */
const PAGE = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const promised = [...PAGE.matchAll(/^\| `(\w+)` \| ([\d, ]+) \| (yes|no) \| (?:`(\w+)`)? \| (.+) \|$/gm)]
  .map(([, code = '', statuses = '', retry, reason, message = '']) => ({ code: code as ErrorCode, statuses: statuses.split(', ').map(Number), isRetryable: retry === 'yes', reason, message }));

describe('a refusal', () => {
  test('is one of those that the page of errors has', () => {
    expect(promised.length).toBeGreaterThan(20);
    expect(Object.keys(errorTable)).toEqual(promised.map(({ code }) => code));
    expect(Object.keys(rejectReasons).toSorted()).toEqual(promised.flatMap(({ code, reason }) => (reason === undefined ? [] : [code])).toSorted());
  });

  test.each(promised)('$code says, counts as and costs the caller what the page of errors says', ({ code, statuses, isRetryable, reason, message }) => {
    const refusal = new KmsError(code);
    expect(refusal).toMatchObject({ name: 'KmsError', code, message, status: statuses[0], retryable: isRetryable, reason, isReported: false });
    expect(refusal.retryAfterS).toBe(isRetryable ? 1 : undefined);
    expect([refusal.hint, refusal.queue, 'cause' in refusal]).toEqual([undefined, undefined, false]);
    expect(errorTable[code].statuses).toEqual(statuses);
  });

  test('carries the detail that it was given, and keeps its code', () => {
    const cause = new Error('the disk');
    const detail = { status: 401, hint: 'ask again', retryAfterS: 7, reason: 'quota', queue: 'sign', cause } as const;
    expect(new KmsError('NoCapability', detail)).toMatchObject({ code: 'NoCapability', message: 'no capability for this', ...detail });
    expect(new KmsError('ClockSkew', { retryAfterS: 0 }).retryAfterS).toBe(0);
  });

  test('has no stack, as nobody asks where it comes from; what is thrown after it has one', () => {
    expect(new KmsError('NotFound').stack).not.toContain('\n    at ');
    expect(new Error('a bug of ours').stack).toContain('\n    at ');
  });

  test('stays what it is on its way out; anything else becomes Internal, which tells the log and not the caller', () => {
    const refusal = new KmsError('KeyState');
    expect(KmsError.from(refusal)).toBe(refusal);
    for (const fault of [new TypeError('secret'), 'secret', undefined]) {
      const { code, status, cause, message } = KmsError.from(fault);
      expect([code, status, cause]).toEqual(['Internal', 500, fault]);
      expect(message).not.toContain('secret');
    }
  });
});

test('of a fault its message is told, and of what is no fault that it is none', () => {
  expect([new Error('the disk is full'), 'text', undefined, { message: 'x' }].map(reasonOf)).toEqual(['the disk is full', 'not an error', 'not an error', 'not an error']);
});
