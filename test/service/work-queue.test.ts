import * as fc from 'fast-check';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createWorkQueue } from '../../src/service/work-queue.ts';

const MS = 1_000_000n;

/** A queue whose work ends when the test says so, and whose clock stands still until then. */
function open({ width = 8, max = 512 } = {}) {
  let nowNs = 0n;
  const queue = createWorkQueue({ width, rushWidth: Math.ceil(0.625 * width), max: () => max, full: { hint: 'full', queue: 'sign' }, clock: { monotonicNs: () => nowNs } });
  const running: { readonly tenant: string; readonly done: () => void }[] = [];
  const started: string[] = [];
  /** The numbers of what was asked, in the order of its start, by tenant. */
  const orders = new Map<string, number[]>();
  let asked = 0;
  const counts = { done: 0, refused: 0 };
  const refused: string[] = [];
  return {
    queue, running, started, orders, counts, refused,
    pass: (ms: number) => { nowNs += BigInt(ms) * MS; },
    ask(tenant: string, cost?: number): void {
      const number = asked++;
      queue.run(tenant, () => {
        started.push(tenant);
        orders.set(tenant, [...(orders.get(tenant) ?? []), number]);
        return new Promise<void>((resolve) => { running.push({ tenant, done: resolve }); });
      }, cost).then(() => { counts.done++; }, () => {
        counts.refused++;
        refused.push(tenant);
      });
    },
    /** Ends what runs longest. */
    async finish(count = 1): Promise<void> {
      for (let i = 0; i < count; i++) {
        running.shift()?.done();
        await turn();
      }
    },
    /** Ends so many pieces of work, one a millisecond. */
    async work(count: number): Promise<void> {
      for (let i = 0; i < count; i++) {
        nowNs += MS;
        running.shift()?.done();
        await turn();
      }
    },
  };
}

describe('work with keys', () => {
  test('up to the maximum all wait their turn and none is refused, however long that is', async () => {
    const { queue, ask, work, counts, running } = open();
    for (let i = 0; i < 512; i++) ask('a');
    await turn();
    expect([queue.depth(), running.length]).toEqual([512, 8]);
    await work(512);
    expect([counts.done, counts.refused, queue.depth()]).toEqual([512, 0, 0]);
  });

  test('of one tenant that fills the line another is not behind all of it: they take turns', async () => {
    const { ask, finish, started } = open();
    for (let i = 0; i < 400; i++) ask('greedy');
    ask('modest');
    await turn();
    await finish(2);
    expect(started.slice(8)).toContain('modest');
  });

  test('once it was full, who waits is kept to some milliseconds of work, and another tenant is let in at once', async () => {
    const { queue, ask, work, refused } = open();
    // A thousand pieces a second are done.
    for (let i = 0; i < 500; i++) ask('greedy');
    await turn();
    await work(300);
    for (let i = 0; i < 400; i++) ask('greedy');
    await turn();
    expect(refused.length).toBeGreaterThan(300);
    // Some 25 ms of it wait, and four times what runs otherwise runs.
    expect(queue.depth()).toBeLessThan(8 + 8);
    ask('modest');
    ask('modest');
    await turn();
    expect(refused).not.toContain('modest');
  });

  test('half full for long is a rush too; half full for a moment, as by a batch, is none', async () => {
    const { queue, ask, work, pass, refused } = open();
    for (let i = 0; i < 400; i++) ask('a');
    await turn();
    await work(100);
    ask('a');
    await turn();
    expect(refused).toEqual([]);
    pass(201);
    ask('a');
    await turn();
    expect(refused.length).toBeGreaterThan(200);
    expect(queue.depth()).toBeLessThan(8 + 8);
  });

  test('in a rush less runs at once, and a tenant that comes then waits for one turn, not for all who came before', async () => {
    const { ask, work, started, running } = open();
    for (let i = 0; i < 500; i++) ask('greedy');
    await turn();
    await work(300);
    for (let i = 0; i < 400; i++) ask('greedy');
    ask('modest');
    await turn();
    await work(8 - 5);
    expect(running.length).toBe(5);
    expect(started.includes('modest')).toBe(false);
    await work(2);
    expect(started.includes('modest')).toBe(true);
  });

  test('when it was not full for a second, all may wait again', async () => {
    const { queue, ask, work, pass, refused } = open();
    for (let i = 0; i < 500; i++) ask('a');
    await turn();
    await work(200);
    for (let i = 0; i < 600; i++) ask('a');
    await turn();
    await work(queue.depth());
    const before = refused.length;
    pass(1001);
    for (let i = 0; i < 512; i++) ask('a');
    await turn();
    expect(refused.length).toBe(before);
    expect(queue.depth()).toBe(512);
  });

  test('something larger than all that may be runs alone', async () => {
    const { ask, queue, finish, counts } = open({ max: 4 });
    ask('a', 10);
    ask('a', 1);
    await turn();
    expect([queue.depth(), counts.refused]).toEqual([10, 1]);
    await finish();
    ask('a', 1);
    await turn();
    expect([queue.depth(), counts.refused]).toEqual([1, 1]);
  });

  test('whoever asks for what and when: never more runs or waits than may, all of it ends, and an idle queue refuses nobody', async () => {
    const step = fc.oneof(
      fc.record({ ask: fc.constantFrom('a', 'b', 'c'), times: fc.integer({ min: 1, max: 40 }), cost: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ finish: fc.integer({ min: 1, max: 40 }) }), fc.record({ pass: fc.integer({ min: 1, max: 1500 }) }),
    );
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { queue, ask, finish, pass, running, counts, started, orders } = open({ width: 3, max: 30 });
      let asked = 0;
      for (const one of steps) {
        if ('ask' in one) {
          const isIdle = queue.depth() === 0;
          const refusedBefore = counts.refused;
          for (let i = 0; i < one.times; i++) ask(one.ask, one.cost);
          asked += one.times;
          await turn();
          if (isIdle) expect(counts.refused - refusedBefore).toBeLessThan(one.times);
        } else if ('finish' in one) {
          await finish(one.finish);
        } else {
          pass(one.pass);
        }
        expect(running.length).toBeLessThanOrEqual(3);
        expect(queue.depth()).toBeLessThanOrEqual(30);
      }
      for (let i = 0; queue.depth() > 0 && i < 1000; i++) await finish();
      await turn();
      expect(queue.depth()).toBe(0);
      expect(counts.done + counts.refused).toBe(asked);
      expect(started.length).toBe(counts.done);
      for (const order of orders.values()) expect(order).toEqual(order.toSorted((a, b) => a - b));
    }), { numRuns: 60 });
  });
});
