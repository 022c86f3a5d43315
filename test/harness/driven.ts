import type { Scheduler } from 'fast-check';

/** Lets the scheduler choose which of the calls that wait returns next, until the work is done. */
export async function driven<T>(order: Scheduler, work: Promise<T>): Promise<T> {
  const is = { over: false };
  const ended = work.finally(() => { is.over = true; });
  ended.catch(() => undefined);
  while (!is.over) {
    if (order.count() > 0) await order.waitNext(1);
    await new Promise(setImmediate);
  }
  return ended;
}
