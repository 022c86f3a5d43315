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

/** In a rush of ten thousand pieces a second: full of what these tenants ask for, in turns, and one more refused. */
async function rush(tenants: readonly string[], max = 512) {
  const house = open({ max });
  for (let ms = 0; ms < 150; ms++) {
    while (house.queue.depth() < 16) house.ask('a');
    await turn();
    house.pass(1);
    await house.finish(10);
  }
  await house.finish(house.queue.depth());
  for (let i = 0; i <= max; i++) house.ask(tenants[i % tenants.length] ?? '');
  await turn();
  return { ...house, askFor: async (tenant: string, cost?: number): Promise<'in' | 'refused'> => {
    const before = house.refused.length;
    house.ask(tenant, cost);
    await turn();
    return house.refused.length === before ? 'in' : 'refused';
  } };
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

  describe('in a rush, when ten thousand pieces a second are done', () => {
    test('four milliseconds of it may wait: forty, an equal part for each tenant, and who came first stays', async () => {
      for (const tenants of [['a'], ['a', 'b'], ['a', 'b', 'c', 'd']]) {
        const { queue, refused, running } = await rush(tenants);
        expect([queue.depth() - running.length, refused.length]).toEqual([40, 513 - 8 - 40]);
        expect(tenants.map((tenant) => refused.filter((one) => one === tenant).length).every((count, _i, [first = 0]) => Math.abs(count - first) <= 2)).toBe(true);
      }
    });

    test('of many tenants each may have four waiting all the same', async () => {
      const { queue, running } = await rush(Array.from({ length: 20 }, (_, i) => `t${i}`));
      expect(queue.depth() - running.length).toBe(20 * 4);
    });

    test('one who comes then has a part like the others, counted in what it asks for', async () => {
      const { askFor } = await rush(['a', 'b']);
      expect([await askFor('large', 15), await askFor('large', 14)]).toEqual(['refused', 'in']);
      const { askFor: ask } = await rush(['a', 'b']);
      const answers: string[] = [];
      for (let i = 0; i < 15; i++) answers.push(await ask('modest'));
      expect(answers).toEqual([...Array.from({ length: 14 }, () => 'in'), 'refused']);
    });

    test('and never is there more than may be', async () => {
      const { queue, askFor } = await rush(['a'], 20);
      expect([queue.depth(), await askFor('b'), await askFor('a')]).toEqual([20, 'refused', 'refused']);
    });

    test('it is over a second after the last who was refused, however many were let in', async () => {
      const { queue, askFor, pass, finish } = await rush(['a']);
      pass(900);
      expect(await askFor('a')).toBe('refused');
      await finish(20);
      pass(900);
      expect([await askFor('a'), await askFor('b', 30)]).toEqual(['in', 'refused']);
      pass(999);
      expect(await askFor('b')).toBe('in');
      expect(await askFor('c', 30)).toBe('refused');
      pass(999);
      expect(await askFor('d')).toBe('in');
      pass(1);
      expect([await askFor('c', 300), queue.depth() > 300]).toEqual(['in', true]);
    });
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
