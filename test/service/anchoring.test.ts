import type { KillPoint } from '../harness/anchoring-process.ts';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from 'vitest';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { eventOf } from '../contract/audit-log.ts';
import { INTERVAL_S, makePlaces } from '../harness/anchoring.ts';
import { anchorsOf, rootOf } from '../harness/small-log.ts';

const places = makePlaces();
afterAll(() => places.remove());

describe('anchoring, while all goes well', () => {
  test('advances at start and with each mutation: the entry, a checkpoint over it, then the device', async () => {
    const { start, onFile } = places.file();
    const { anchoring, log, mutate } = await start();
    expect([anchoring.isReachable(), anchoring.mismatch(), onFile().value]).toEqual([true, undefined, 1]);
    for (let value = 2; value <= 4; value++) {
      const outcome = await mutate();
      const anchors = anchorsOf(log.entries());
      const last = anchors.at(-1);
      expect(anchors.map((anchor) => anchor.value)).toEqual(Array.from({ length: value }, (_, i) => i + 1));
      expect(onFile()).toMatchObject({ value, tree_size: log.entries().length, root_hash: rootOf(log.entries()).toString('base64') });
      expect(onFile().tree_size).toBeGreaterThan(Math.max(outcome, last?.index ?? Infinity));
      expect(JSON.parse(log.entries()[last?.index ?? -1] ?? '')).toMatchObject({ op: 'anchor', result: 'ok', actor: { via: 'service' } });
      // What the entry itself says is true of the tree before it.
      expect(last?.tree_size).toBeLessThanOrEqual(last?.index ?? 0);
      expect(last?.root_hash).toBe(rootOf(log.entries().slice(0, last?.tree_size)).toString('base64'));
    }
  });

  test('many mutations share one advance, and none is answered before the one that covers it', async () => {
    const { start, onFile } = places.file();
    const { log, mutate } = await start();
    await Promise.all(Array.from({ length: 200 }, async () => expect(await mutate()).toBeLessThan(onFile().tree_size)));
    expect(anchorsOf(log.entries()).length).toBeLessThanOrEqual(4);
  });

  test('without mutations it advances once an interval, and not at all when nothing was written', async () => {
    const { start, onFile } = places.file();
    const { anchoring, log, pass } = await start();
    const grow = async (): Promise<void> => {
      await log.append([eventOf('sign')]);
      await log.checkpointNow();
    };
    const afterTick = async (seconds: number): Promise<number> => {
      pass(seconds);
      await anchoring.tick();
      return onFile().value;
    };
    expect(await afterTick(INTERVAL_S)).toBe(1);
    await grow();
    expect(await afterTick(0)).toBe(2);
    await grow();
    expect(await afterTick(0)).toBe(2);
    expect(await afterTick(INTERVAL_S - 1)).toBe(2);
    expect(await afterTick(1)).toBe(3);
  });

  test('each start goes on where the last one was', async () => {
    const { start, onFile } = places.file();
    for (let value = 1; value <= 3; value++) {
      const { anchoring } = await start();
      expect([anchoring.mismatch(), anchoring.isReachable(), onFile().value]).toEqual([undefined, true, value]);
    }
  });

  test('with a witness too, and its cosignature stands under the checkpoint', async () => {
    const { start, key, seenSize } = await places.witness();
    for (let i = 0; i < 3; i++) {
      const { anchoring, log, mutate } = await start();
      expect(await mutate()).toBeLessThan(seenSize());
      expect([anchoring.mismatch(), anchoring.isReachable(), seenSize()]).toEqual([undefined, true, log.entries().length]);
      expect(verifyCheckpointNote(log.headProof().note, [log.key, key])).toMatchObject({ checkpoint: { size: seenSize() }, signedBy: [log.key, key] });
    }
  });
});

describe('anchoring, killed', () => {
  const points: readonly KillPoint[] = ['before entry', 'after entry', 'after checkpoint', 'after advance'];
  const cases = points.flatMap((point) => [1, 3].map((nth): [KillPoint, number] => [point, nth]));

  test.each(cases)('%s, the %i. time: file and log belong together at the next start', async (point, nth) => {
    const { start, logPath, anchorPath, origin, onFile } = places.file();
    const answered = await killed(logPath, origin, anchorPath, point, nth);
    expect(answered.length).toBe(nth === 1 ? 0 : 1);
    const held = nth === 1 && point !== 'after advance' ? { value: 0, tree_size: 0 } : onFile();
    for (const index of answered) expect(held.tree_size).toBeGreaterThan(index);
    const entries = anchorsOf(entriesIn(logPath)).length;
    expect(entries - held.value).toBe(point === 'after entry' || point === 'after checkpoint' ? 1 : 0);

    const { anchoring, log } = await start();
    expect([anchoring.mismatch(), anchoring.isReachable()]).toEqual([undefined, true]);
    // What was one less is made good without another entry.
    expect(log.lastAnchorValue()).toBe(held.value + 1);
    expect(onFile()).toMatchObject({ value: held.value + 1, tree_size: log.entries().length });
  });

  test.each(cases)('%s, the %i. time: witness and log belong together at the next start', async (point, nth) => {
    const { start, logPath, origin, key, url, seenSize } = await places.witness();
    const answered = await killed(logPath, origin, `${formatVkey(key)} ${url}`, point, nth);
    expect(answered.length).toBe(nth === 1 ? 0 : 1);
    for (const index of answered) expect(seenSize()).toBeGreaterThan(index);
    const { anchoring, log } = await start();
    expect([anchoring.mismatch(), anchoring.isReachable(), seenSize()]).toEqual([undefined, true, log.entries().length]);
  });

  test('again and again at every point, the log and the file never part', async () => {
    const { start, logPath, anchorPath, origin, onFile } = places.file();
    for (const point of points) await killed(logPath, origin, anchorPath, point, 1);
    const { anchoring, log } = await start();
    expect([anchoring.mismatch(), onFile().value]).toEqual([undefined, log.lastAnchorValue()]);
  });
});

/** Runs a process that anchors until it kills itself there; gives the outcomes it had answered by then. */
async function killed(logPath: string, origin: string, anchor: string, point: KillPoint, nth: number): Promise<readonly number[]> {
  const script = join(import.meta.dirname, '../harness/anchoring-process.ts');
  const child = spawn(process.execPath, [script, logPath, origin, anchor, point, `${nth}`], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, faults, [, signal]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  expect(signal, faults).toBe('SIGKILL');
  return output.split('\n').slice(0, -1).map(Number);
}

function entriesIn(logPath: string): readonly string[] {
  return readFileSync(join(logPath, 'entries'), 'utf8').split('\n').slice(0, -1);
}
