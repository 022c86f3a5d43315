import type { AuditEvent } from '../../src/core/log/entry.ts';
import type { AuditLog } from '../../src/ports/audit-log.ts';
import canonicalize from 'canonicalize';
import { describe, expect, test } from 'vitest';

export interface LogUnderTest {
  readonly log: AuditLog;
  /** The canonical JSON of an entry. */
  readonly read: (index: number) => string | undefined;
  /** Sets the wall clock, milliseconds. */
  readonly setWall: (ms: number) => void;
}

/** What every audit log has to do; each adapter's test runs the same suite. */
export function auditLogContract(name: string, open: () => Promise<LogUnderTest>): void {
  describe(`audit log ${name}`, () => {
    test('numbers entries from 0, in the order of the calls, also when they come at once', async () => {
      const { log, read } = await open();
      const appended = await Promise.all(Array.from({ length: 64 }, (_, i) => log.append(Array.from({ length: 1 + (i % 3) }, () => eventOf(`op${i}`)))));
      let next = 0;
      for (const [i, { firstIndex }] of appended.entries()) {
        expect(firstIndex).toBe(next);
        for (let of = 0; of < 1 + (i % 3); of++) expect(JSON.parse(read(next++) ?? '{}')).toMatchObject({ op_id: `op${i}` });
      }
    });

    test('writes RFC 8785 canonical JSON with every field of the event', async () => {
      const { log, read } = await open();
      const event: AuditEvent = { ...eventOf('x'), reason: 'why "so"\n', generation: 7, policy: { mode: 'and', decision_id: 'd1' }, tenant: 'core', alg: 'ed25519', purpose: 'p', kid: `${BASE}#v1` };
      await log.append([event]);
      const entry = JSON.parse(read(0) ?? '{}') as Record<string, unknown>;
      expect(entry).toMatchObject(JSON.parse(JSON.stringify(event)));
      expect(read(0)).toBe(canonicalize(entry));
      expect(entry).toMatchObject({ v: 1, key_seq: 1 });
      expect(entry['salt']).toMatch(/^[0-9a-f]{32}$/);
      expect(entry['mono_ns']).toMatch(/^\d+$/);
    });

    test('counts the entries of a key over its versions, without holes, and those without a key not at all', async () => {
      const { log, read } = await open();
      const kids = [`${BASE}#v1`, `${BASE}#v2`, undefined, `${OTHER}#v1`, `${BASE}#v1`];
      for (const kid of kids) await log.append([{ ...eventOf('x'), ...(kid !== undefined && { kid }) }]);
      expect(kids.map((_, i) => (JSON.parse(read(i) ?? '{}') as { key_seq?: number }).key_seq)).toEqual([1, 2, undefined, 1, 3]);
    });

    test('no entry stands before the one in front of it, though the wall clock goes back', async () => {
      const { log, read, setWall } = await open();
      setWall(2_000_000);
      await log.append([eventOf('a')]);
      setWall(1_000_000);
      await log.append([eventOf('b')]);
      const stamps = [0, 1].map((i) => (JSON.parse(read(i) ?? '{}') as { ts: string }).ts);
      expect(stamps[1]).toBe(stamps[0]);
      expect(log.lastEntryMs()).toBe(2_000_000);
    });

    test('equal events have different entries: a salt each', async () => {
      const { log, read } = await open();
      await log.append(Array.from({ length: 600 }, () => eventOf('same')));
      expect(new Set(Array.from({ length: 600 }, (_, i) => (JSON.parse(read(i) ?? '{}') as { salt: string }).salt)).size).toBe(600);
    });
  });
}

const BASE = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';
const OTHER = 'core/audit/ed25519/01890000-0000-7000-8000-000000000002';

export function eventOf(opId: string): AuditEvent {
  return {
    op: 'sign', op_id: opId, corr_id: 'c', input_hash: '00', result: 'ok', actor: { via: 'tcp', client_id: 'me' },
    tenant: undefined, kid: undefined, alg: undefined, purpose: undefined, reason: undefined, policy: undefined, generation: undefined,
  };
}
