import { expect, test } from 'vitest';
import { createInFlight } from '../../src/service/in-flight.ts';

/** Work that goes on until it is told to end. */
function open(max: () => number) {
  const inFlight = createInFlight(max, { hint: 'full', queue: 'records' });
  const begin = (cost?: number) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    return { result: inFlight.run(() => promise, cost).catch((fault: { code?: string }) => fault.code ?? 'failed'), end: () => resolve('done'), fail: () => reject(new Error('of its own')) };
  };
  return { begin, depth: inFlight.depth };
}

test('so much is done at once, and what is more is refused at once; the room of what ended or failed is there again', async () => {
  const { begin, depth } = open(() => 3);
  const work = [begin(), begin(), begin()];
  expect(await begin().result).toBe('Backpressure');
  expect(depth()).toBe(3);
  work[0]?.end();
  work[1]?.fail();
  expect(await Promise.all([work[0]?.result, work[1]?.result])).toEqual(['done', 'failed']);
  expect(depth()).toBe(1);
  expect(await begin(3).result).toBe('Backpressure');
  const two = begin(2);
  expect(depth()).toBe(3);
  two.end();
  expect(await two.result).toBe('done');
});

test('what is larger than all that may be runs, but alone', async () => {
  const { begin } = open(() => 3);
  const large = begin(5);
  expect(await begin().result).toBe('Backpressure');
  large.end();
  expect(await large.result).toBe('done');
  const small = begin();
  expect(await begin(5).result).toBe('Backpressure');
  small.end();
  expect(await small.result).toBe('done');
});

test('a limit that a reload changed holds from then on', async () => {
  let max = 1;
  const { begin } = open(() => max);
  const first = begin();
  expect(await begin().result).toBe('Backpressure');
  max = 2;
  const second = begin();
  first.end();
  second.end();
  expect(await Promise.all([first.result, second.result])).toEqual(['done', 'done']);
});
