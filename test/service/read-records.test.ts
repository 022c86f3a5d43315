import type { AuditReader } from '../../src/ports/audit-reader.ts';
import { expect, test } from 'vitest';
import { makeReadRecords } from '../../src/service/read-records.ts';
import { createInFlight } from '../../src/service/in-flight.ts';
import { callerOf } from '../harness/caller.ts';

/** What one request finds, and reads, in a log of so many entries of other tenants, each of so many bytes. */
async function searched(size: number, bytes: number, from?: number) {
  const entry = Buffer.from(JSON.stringify({ tenant: 'other', reason: 'x'.repeat(bytes) }));
  let read = 0;
  const reader = {
    size: () => size, minimumIndex: () => 0,
    entries: async (first: number, limit: number) => {
      const entries = Array.from({ length: Math.max(0, Math.min(limit, size - first)) }, () => entry);
      read += entries.length;
      return entries;
    },
  } as unknown as AuditReader;
  const readRecords = makeReadRecords({ authorise: { any: () => undefined } as never, reader, reading: createInFlight(() => 1, {}) });
  return { ...(await readRecords(callerOf(), { from, limit: 1000, kid: undefined, tenant: undefined, op: undefined, result: undefined })), read };
}

test('one request looks at no more than 8,192 entries, and says where to go on', async () => {
  expect(await searched(10_000, 10)).toEqual({ records: [], next: 8192, treeSize: 10_000, read: 8192 });
  expect(await searched(10_000, 10, 8192)).toEqual({ records: [], next: undefined, treeSize: 10_000, read: 1808 });
});

test('and at no more than 8 MiB of them, besides what is read at once', async () => {
  const { next, read } = await searched(10_000, 64 << 10);
  expect(next).toBe(read);
  expect(read).toBeLessThanOrEqual(256);
});
