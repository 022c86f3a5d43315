import { assert, asyncProperty, integer, nat, record, scheduler, uniqueArray } from 'fast-check';
import { expect, test } from 'vitest';
import { eventOf } from '../contract/audit-log.ts';
import { driven } from '../harness/driven.ts';
import { entriesFrom } from '../harness/entries.ts';
import { createFaultyFiles, systemFault } from '../harness/faulty-files.ts';
import { createTestSigner } from '../harness/log-signer.ts';
import { eventually } from '../harness/poll.ts';
import { checkImage, newDisk, openSimulated } from '../harness/simulated-log.ts';

const WRITERS = 64;
const signer = createTestSigner();
const kidOf = (writer: number): string => `core/audit/ed25519/01890000-0000-7000-8000-00000000000${writer % 5}#v${1 + (writer % 2)}`;

const run = record({
  order: scheduler(),
  durability: nat(1).map((n) => (n === 0 ? ('disk' as const) : ('os' as const))),
  /** Which flushes fail, of the journal and of all else. */
  failing: uniqueArray(integer({ min: 1, max: 40 }), { maxLength: 3 }),
  checkpointEveryOps: integer({ min: 5, max: 200 }),
});

test('64 writers at once, calls that return in any order, flushes that fail: no index twice or missing, no answered entry lost, none that was refused', { timeout: 240_000 }, async () => {
  await assert(asyncProperty(run, async ({ order, durability, failing, checkpointEveryOps }) => {
    let flushes = 0;
    let isOpen = false;
    const before = ({ call, path }: { readonly call: string; readonly path: string }): void => {
      if (isOpen && (call === 'flush' || call === 'sync') && failing.includes(++flushes)) throw systemFault('EIO', path);
    };
    const yields = (): Promise<void> => order.schedule(Promise.resolve());
    const files = createFaultyFiles({ start: newDisk(signer), pause: yields, before });
    let asked = 0;
    const answered = new Map<number, string>();
    const refused = new Set<string>();

    await driven(order, (async () => {
      const log = await openSimulated(files, signer, { durability, checkpointEveryOps, sealBytes: 20_000 });
      isOpen = true;
      const write = async (writer: number): Promise<void> => {
        for (let i = 0; i < 4; i++) {
          await yields();
          const events = Array.from({ length: 1 + ((writer + i) % 3) }, (_, of) => ({ ...eventOf(`${writer}-${i}-${of}`), ...(of < 2 && { kid: kidOf(writer) }) }));
          asked += events.length;
          await log.append(events, { mustFlush: (writer + i) % 5 === 0 }).then(
            ({ firstIndex }) => { for (const [of, { op_id }] of events.entries()) answered.set(firstIndex + of, op_id); },
            () => { for (const { op_id } of events) refused.add(op_id); },
          );
          if (!log.isReady()) await eventually('the log is ready again', 10_000, () => log.isReady());
        }
      };
      await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
      await eventually('a checkpoint covers all', 5000, () => log.isCheckpointRecent() && log.checkpoint()?.size === log.size());
      isOpen = false;
      await log.stop();

      const again = await openSimulated(files, signer);
      expect(again.integrityFault()).toBeUndefined();
      const entries = await entriesFrom(again);
      await again.stop();
      expect(answered.size + refused.size).toBe(asked);
      expect([...answered].filter(([index, opId]) => entries[index]?.['op_id'] !== opId)).toEqual([]);
      expect(entries.filter(({ op_id }) => refused.has(op_id as string))).toEqual([]);
      const counts = new Map<string, number>();
      for (const { kid, key_seq } of entries) if (kid !== undefined) {
        const base = (kid as string).replace(/#.*/, '');
        counts.set(base, (counts.get(base) ?? 0) + 1);
        expect(key_seq).toBe(counts.get(base));
      }
      expect(await checkImage(files.crashed('lost'), signer)).toMatchObject({ ok: true, faults: [], size: entries.length });
    })());
  }), { numRuns: 40 });
});
