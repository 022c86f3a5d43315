import type { Log, LogDeps } from '../../src/adapters/audit-log/log.ts';
import type { AuditEvent } from '../../src/core/log/entry.ts';
import type { TestSigner } from '../harness/log-signer.ts';
import { setTimeout as turn } from 'node:timers/promises';
import canonicalize from 'canonicalize';
import { describe, expect, onTestFinished, test } from 'vitest';
import { leafHash } from '../../client/src/log/hash.ts';
import { checkReceipt, formatReceipt } from '../../client/src/log/receipt.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { inclusionProof, rootOf } from '../../src/core/log/proofs.ts';
import { splitBundle, tileWidth } from '../../src/core/log/tiles.ts';
import { entriesFrom } from '../harness/entries.ts';
import { eventually } from '../harness/poll.ts';

interface LogUnderTest {
  readonly log: Log;
  readonly signer: TestSigner;
  /** Sets the wall clock, milliseconds. */
  readonly setWall: (ms: number) => void;
}

/** Opens a new log. */
export type OpenLogUnderTest = (options?: Partial<LogDeps['options']>) => Promise<LogUnderTest>;

/** What every audit log has to do; each storage's test runs the same suite. */
export function auditLogContract(name: string, openNew: OpenLogUnderTest): void {
  const open: OpenLogUnderTest = async (options) => {
    const opened = await openNew(options);
    onTestFinished(() => opened.log.stop().catch(() => undefined));
    return opened;
  };

  describe(`audit log ${name}: entries`, () => {
    test('begin with the keys that sign for the log', async () => {
      const { log, signer } = await open();
      expect(await entriesFrom(log)).toMatchObject([{ op: 'log-keys', result: 'ok', actor: { via: 'service' }, log_keys: { keys: signer.vkeys.map(formatVkey), reason: 'start' } }]);
      expect(log.announcedKeys()).toMatchObject({ index: 0, detail: { reason: 'start' } });
    });

    test('are numbered in the order of the calls, also when they come at once', async () => {
      const { log } = await open();
      const appended = await Promise.all(Array.from({ length: 64 }, (_, i) => log.append(Array.from({ length: 1 + (i % 3) }, () => eventOf(`op${i}`)))));
      const entries = await entriesFrom(log);
      let next = 1;
      for (const [i, { firstIndex }] of appended.entries()) {
        expect(firstIndex).toBe(next);
        for (let of = 0; of < 1 + (i % 3); of++) expect(entries[next++]).toMatchObject({ op_id: `op${i}` });
      }
      expect(log.size()).toBe(next);
    });

    test('are RFC 8785 canonical JSON with every field of the event', async () => {
      const { log } = await open();
      const event: AuditEvent = { ...eventOf('x'), reason: 'why "so"\n', generation: 7, policy: { mode: 'and', decision_id: 'd1' }, tenant: 'core', alg: 'ed25519', purpose: 'p', kid: `${BASE}#v1` };
      await log.append([event]);
      const [bytes] = await log.entries(1, 1);
      const entry = JSON.parse(String(bytes)) as Record<string, unknown>;
      expect(entry).toMatchObject(JSON.parse(JSON.stringify(event)));
      expect(String(bytes)).toBe(canonicalize(entry));
      expect(entry).toMatchObject({ v: 1, key_seq: 1, salt: expect.stringMatching(/^[0-9a-f]{32}$/), mono_ns: expect.stringMatching(/^\d+$/) });
      expect(log.lastGeneration()).toBe(7);
    });

    test('of a key are counted over its versions, without holes, and those without a key not at all', async () => {
      const { log } = await open();
      for (const kid of [`${BASE}#v1`, `${BASE}#v2`, undefined, `${OTHER}#v1`, `${BASE}#v1`]) await log.append([{ ...eventOf('x'), kid }]);
      expect((await entriesFrom(log, 1)).map(({ key_seq }) => key_seq as unknown)).toEqual([1, 2, undefined, 1, 3]);
      expect([log.keySeq(BASE), log.keySeq(OTHER), log.keySeq('none')]).toEqual([3, 1, 0]);
    });

    test('never stand before the one in front of them, though the wall clock goes back', async () => {
      const { log, setWall } = await open();
      setWall(2_000_000_000_000);
      await log.append([eventOf('a')]);
      setWall(1_000_000_000_000);
      await log.append([eventOf('b')]);
      const [before, after] = await entriesFrom(log, 1);
      expect(after?.['ts']).toBe(before?.['ts']);
      expect(log.lastEntryMs()).toBe(2_000_000_000_000);
    });

    test('of equal events differ: a salt each', async () => {
      const { log } = await open();
      await log.append(Array.from({ length: 600 }, () => eventOf('same')));
      expect(new Set((await entriesFrom(log, 1)).map(({ salt }) => salt as unknown)).size).toBe(600);
    });

    test('may have 65,535 bytes and no more: a longer one is refused alone, and its key counts on as if it had not come', async () => {
      const { log } = await open();
      const long = (length: number): AuditEvent => ({ ...eventOf('long'), kid: `${BASE}#v1`, reason: 'x'.repeat(length) });
      const usual = { ...eventOf('usual'), kid: `${BASE}#v1` };
      const settled = await Promise.allSettled([log.append([usual]), log.append([usual, long(70_000)]), log.append([long(65_000), usual])]);
      expect(settled).toMatchObject([{ status: 'fulfilled', value: { firstIndex: 1 } }, { status: 'rejected', reason: { code: 'Internal' } }, { status: 'fulfilled', value: { firstIndex: 2 } }]);
      const entries = await log.entries(1, 10);
      const room = 65_000 + 65_535 - (entries[1]?.length ?? 0);
      await log.append([long(room)]);
      await expect(log.append([long(room + 1)])).rejects.toMatchObject({ code: 'Internal' });
      expect((await entriesFrom(log, 1)).map(({ key_seq }) => key_seq as unknown)).toEqual([1, 2, 3, 4]);
      expect((await log.entries(4, 1))[0]).toHaveLength(65_535);
    });
  });

  describe(`audit log ${name}: under pressure`, () => {
    test('a full queue is Backpressure, and what was taken before it is answered; a large batch is taken when nothing waits', async () => {
      const { log } = await open({ queueMax: 8 });
      await log.append(batch(20));
      const settled = await Promise.allSettled([log.append(batch(5)), log.append(batch(3)), log.append(batch(1)), log.append(batch(4))]);
      expect(settled.map((one) => (one.status === 'fulfilled' ? one.value.firstIndex : (one.reason as { code: string }).code))).toEqual([21, 26, 'Backpressure', 'Backpressure']);
      expect([log.size(), log.waiting()]).toEqual([29, 0]);
      await log.append(batch(1));
    });
  });

  describe(`audit log ${name}: checkpoints`, () => {
    test('cover every entry within a second, with both signatures', async () => {
      const { log, signer } = await open();
      expect(log.checkpoint()).toMatchObject({ size: 1 });
      const { firstIndex } = await log.append([eventOf('x')]);
      const started = performance.now();
      const { note, size } = await log.covering(firstIndex);
      expect(performance.now() - started).toBeLessThan(2000);
      expect(size).toBe(2);
      expect(verifyCheckpointNote(note, signer.vkeys)).toMatchObject({ checkpoint: { origin: signer.origin, size }, signedBy: signer.vkeys });
      expect(log.checkpoint()).toEqual({ note, size });
    });

    test('come at once when there are enough entries', async () => {
      const { log } = await open({ checkpointEveryOps: 10 });
      for (let round = 1; round <= 5; round++) {
        const started = performance.now();
        for (let i = 0; i < 10; i++) await log.append([eventOf('x')]);
        await log.covering(10 * round);
        expect(performance.now() - started).toBeLessThan(900);
      }
    });

    test('that cannot be signed are said to be missed, tried again, and there again when they can', async () => {
      const { log, signer } = await open();
      signer.failWith(new Error('the key is away'));
      await log.append([eventOf('x')]);
      await expect(log.checkpointNow()).rejects.toMatchObject({ code: 'AuditUnavailable' });
      expect([log.isCheckpointRecent(), log.isReady(), log.checkpoint()?.size]).toEqual([false, true, 1]);
      signer.failWith(undefined);
      await eventually('it is tried again by itself', 3000, () => log.isCheckpointRecent() && log.checkpoint()?.size === 2);
    });

    test('take the lines of a witness, if none came after', async () => {
      const { log } = await open();
      const { note = '' } = log.checkpoint() ?? {};
      await log.addCosignatures('— someone AAAAAAAA\n', 1);
      expect(log.checkpoint()?.note).toBe(`${note}— someone AAAAAAAA\n`);
      await log.append([eventOf('x')]);
      await log.checkpointNow();
      const newer = log.checkpoint()?.note;
      await log.addCosignatures('— someone AAAAAAAA\n', 1);
      expect(log.checkpoint()?.note).toBe(newer);
    });
  });

  describe(`audit log ${name}: proofs`, () => {
    test('tiles and bundles are those of the checkpoint, at any width below it, and none beyond', async () => {
      const { log, signer } = await open();
      await log.append(Array.from({ length: 700 }, (_, i) => eventOf(`o${i}`)));
      await log.checkpointNow();
      await log.append([eventOf('behind')]);
      const { note, size } = log.checkpoint() ?? { note: '', size: 0 };
      const verified = verifyCheckpointNote(note, signer.vkeys);
      expect(await rootOf(size, (level, index, width) => tileOf(log, level, index, width))).toEqual('checkpoint' in verified && verified.checkpoint.rootHash);
      const all = await Promise.all([0, 1, 2].map(async (index) => splitBundle(await tileOf(log, 'entries', index, tileWidth(size, 'entries', index))) ?? []));
      expect(all.flat()).toEqual((await log.entries(0, 2000)).slice(0, size));
      for (const width of [1, 100, 188]) {
        expect(splitBundle(await tileOf(log, 'entries', 2, width))).toEqual(all[2]?.slice(0, width));
        expect(await tileOf(log, 0, 2, width)).toEqual(Buffer.concat((all[2] ?? []).slice(0, width).map(leafHash)));
      }
      expect(await Promise.all([log.tile(0, 2, 190), log.tile('entries', 2, 256), log.tile(0, 3, 1), log.tile(1, 0, 3), log.tile(5, 0, 1)])).toEqual([undefined, undefined, undefined, undefined, undefined]);
    });

    test('receipts hold with nothing but the keys, made while the log grows and its checkpoints come fast', async () => {
      const { log, signer } = await open({ checkpointEveryOps: 5 });
      const is = { over: false };
      const writing = (async () => {
        while (!is.over) {
          await log.append(batch(7));
          await turn();
        }
      })();
      for (let round = 0; round < 60; round++) {
        const { firstIndex } = await log.append([eventOf(`mine-${round}`)]);
        const { note, size } = await log.covering(firstIndex);
        for (const index of new Set([firstIndex, Math.floor(firstIndex / 2), size - 1])) {
          const proof = await inclusionProof(index, size, (level, at, width) => tileOf(log, level, at, width));
          const [entry = Buffer.alloc(0)] = await log.entries(index, 1);
          const receipt = checkReceipt(formatReceipt({ entry, index, proof, note }), signer.vkeys);
          expect(receipt).toMatchObject({ ok: true, index, checkpoint: { size }, ...(index === firstIndex && { fields: { op_id: `mine-${round}` } }) });
        }
      }
      is.over = true;
      await writing;
    });

    test('an anchor gets a consistency proof from any older size', async () => {
      const { log } = await open();
      await log.append(Array.from({ length: 300 }, () => eventOf('x')));
      await log.checkpointNow();
      const proof = log.anchorProof();
      expect(proof).toMatchObject({ origin: log.origin, treeSize: 301, note: log.checkpoint()?.note });
      expect(await proof?.consistencyFrom(256)).toHaveLength(1);
    });
  });

  describe(`audit log ${name}: its end`, () => {
    test('a stop finishes what waits, covers all with a last checkpoint, and refuses what comes after', async () => {
      const { log } = await open();
      const waiting = Array.from({ length: 20 }, (_, i) => log.append([eventOf(`w${i}`)]));
      await log.stop();
      expect((await Promise.all(waiting)).map(({ firstIndex }) => firstIndex)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
      expect(log.checkpoint()).toMatchObject({ size: 21 });
      expect([log.isReady(), log.waiting()]).toEqual([false, 0]);
      await expect(log.append([eventOf('late')])).rejects.toMatchObject({ code: 'AuditUnavailable' });
    });

    test('whoever finds it at odds ends its writing: nothing more is entered or signed, reading goes on', async () => {
      const { log } = await open();
      await log.append([eventOf('before')]);
      await log.checkpointNow();
      await log.append([eventOf('behind')]);
      log.failIntegrity('entry 1: not what it was');
      log.failIntegrity('something later');
      expect([log.integrityFault(), log.isReady(), log.isCheckpointRecent()]).toEqual(['entry 1: not what it was', false, false]);
      await expect(log.append([eventOf('after')])).rejects.toMatchObject({ code: 'AuditUnavailable' });
      await expect(log.checkpointNow()).rejects.toMatchObject({ code: 'AuditUnavailable' });
      expect(await entriesFrom(log, 1)).toMatchObject([{ op_id: 'before' }, { op_id: 'behind' }]);
      await log.stop();
      expect(log.checkpoint()).toMatchObject({ size: 2 });
    });
  });
}

async function tileOf(log: Log, level: number | 'entries', index: number, width: number): Promise<Buffer> {
  const bytes = await log.tile(level, index, width);
  if (bytes === undefined) throw new Error(`there is no tile ${level}/${index} of ${width}`);
  return bytes;
}

function batch(length: number): readonly AuditEvent[] {
  return Array.from({ length }, (_, i) => eventOf(`b${i}`));
}

const BASE = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';
const OTHER = 'core/audit/ed25519/01890000-0000-7000-8000-000000000002';

export function eventOf(opId: string): AuditEvent {
  return {
    op: 'sign', op_id: opId, corr_id: 'c', input_hash: '00', result: 'ok', actor: { via: 'tcp', client_id: 'me' },
    tenant: undefined, kid: undefined, alg: undefined, purpose: undefined, reason: undefined, policy: undefined, generation: undefined,
  };
}
