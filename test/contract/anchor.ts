import type { Anchor, Anchored, AnchorProof } from '../../src/ports/anchor.ts';
import type { SmallLog } from '../harness/small-log.ts';
import { describe, expect, test } from 'vitest';
import { eventOf } from './audit-log.ts';

export interface AnchorUnderTest {
  readonly anchor: Anchor;
  readonly log: SmallLog;
  /** The same medium, seen by a process that has just started. */
  readonly reopen: () => Anchor;
  /** Takes the medium away, and gives it back. */
  readonly cut: () => Promise<void>;
  readonly mend: () => Promise<void>;
  /** It counts, and knows nothing of the log's head. */
  readonly isCounter?: boolean;
}

/** What every anchor has to do; each adapter's test runs the same suite. */
export function anchorContract(name: string, open: () => Promise<AnchorUnderTest>): void {
  describe(`anchor ${name}`, () => {
    test('was never advanced, and asking does not change that', async () => {
      const { anchor, log, reopen } = await open();
      for (const asked of [anchor, anchor, reopen()]) expect(await asked.read(log.headProof())).toBeUndefined();
    });

    test('remembers over restarts what it was advanced to', async () => {
      const { anchor, log, reopen, isCounter = false } = await open();
      for (let value = 1; value <= 5; value++) {
        const proof = await grow(log, value);
        expect(await anchor.advance(value, proof)).not.toHaveProperty('fault');
        for (const asked of [anchor, reopen()]) expect(remembered(await asked.read(proof), value, isCounter)).toEqual(isCounter ? { value } : { value, treeSize: proof.treeSize });
      }
    });

    test('goes on from there in a new process', async () => {
      const { anchor, log, reopen, isCounter = false } = await open();
      await anchor.advance(1, await grow(log, 3));
      const proof = await grow(log, 4);
      expect(await reopen().advance(2, proof)).not.toHaveProperty('fault');
      expect(remembered(await reopen().read(proof), 2, isCounter)).toEqual(isCounter ? { value: 2 } : { value: 2, treeSize: proof.treeSize });
    });

    test('never goes back: an older head is a fault, and changes nothing', async () => {
      const { anchor, log, reopen, isCounter = false } = await open();
      const older = await grow(log, 2);
      await anchor.advance(1, older);
      const newer = await grow(log, 7);
      await anchor.advance(2, newer);
      for (const asked of [anchor, reopen()]) {
        for (const value of isCounter ? [1, 2, 4] : [1, 2, 3]) expect(await asked.advance(value, older)).toHaveProperty('fault');
        expect(remembered(await asked.read(newer), 2, isCounter)).toEqual(isCounter ? { value: 2 } : { value: 2, treeSize: newer.treeSize });
      }
    });

    test('out of reach it throws AuditUnavailable, and is what it was when it is back', async () => {
      const { anchor, log, cut, mend, isCounter = false } = await open();
      const first = await grow(log, 2);
      await anchor.advance(1, first);
      await cut();
      const second = await grow(log, 2);
      await expect(anchor.read(second)).rejects.toMatchObject({ code: 'AuditUnavailable' });
      await expect(anchor.advance(2, second)).rejects.toMatchObject({ code: 'AuditUnavailable' });
      await mend();
      expect(remembered(await anchor.read(second), 1, isCounter)).toEqual(isCounter ? { value: 1 } : { value: 1, treeSize: first.treeSize });
      expect(await anchor.advance(2, second)).not.toHaveProperty('fault');
    });
  });
}

/** More entries, and a checkpoint over them. */
export async function grow(log: SmallLog, entries: number): Promise<AnchorProof> {
  await log.append(Array.from({ length: entries }, (_, i) => eventOf(`op${i}`)));
  await log.checkpointNow();
  return log.headProof();
}

/** A counter's value and head, or a witness's size with the value it stands for. */
function remembered(anchored: Anchored | undefined, value: number, isCounter = false): unknown {
  if (isCounter) return anchored;
  if (anchored === undefined || 'fault' in anchored) return anchored;
  return 'seenSize' in anchored ? { value, treeSize: anchored.seenSize } : { value: anchored.value, treeSize: anchored.head?.treeSize };
}
