/**
 * Time that passes only when nothing is left to do at this moment: an hour in which nothing happens costs nothing. It stands
 * in for the timers of the process, so whatever waits in the service's own code waits here, and what runs next is one
 * queue's to say. To be installed before the service is loaded.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';
import timersPromises from 'node:timers/promises';

/** A process that lives: what waits in it is gone when it is. */
export interface Life {
  isOver: boolean;
}

interface Waiting {
  readonly atNs: number;
  readonly order: number;
  readonly run: () => void;
  readonly life: Life | undefined;
  everyNs: number | undefined;
  isCancelled: boolean;
}

export interface VirtualTime {
  nowNs(): number;
  /** Runs what is due, one thing after the other, until the time has come. */
  pass(ms: number): Promise<void>;
  sleep(ms: number): Promise<void>;
  /** All that the work starts belongs to this life, and ends with it. */
  within<T>(life: Life, work: () => T): T;
  /** How many things were run. */
  steps(): number;
}

const NS_PER_MS = 1_000_000;
const turnOfTheRealLoop = globalThis.setImmediate;

/** All that can be done at this moment is done. */
const settled = (): Promise<void> => new Promise((resolve) => { turnOfTheRealLoop(resolve); });

export function installVirtualTime(): VirtualTime {
  const lives = new AsyncLocalStorage<Life>();
  const queue: Waiting[] = [];
  let nowNs = 0;
  let orders = 0;
  let steps = 0;

  const isBefore = (a: Waiting, b: Waiting): boolean => a.atNs < b.atNs || (a.atNs === b.atNs && a.order < b.order);

  const push = (one: Waiting): void => {
    let at = queue.push(one) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(one, queue[above] as Waiting)) break;
      queue[at] = queue[above] as Waiting;
      at = above;
    }
    queue[at] = one;
  };

  const pop = (): Waiting | undefined => {
    const first = queue[0];
    const last = queue.pop();
    if (first === undefined || last === undefined || queue.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= queue.length) break;
      if (below + 1 < queue.length && isBefore(queue[below + 1] as Waiting, queue[below] as Waiting)) below++;
      if (!isBefore(queue[below] as Waiting, last)) break;
      queue[at] = queue[below] as Waiting;
      at = below;
    }
    queue[at] = last;
    return first;
  };

  const waiting = (ms: number, run: () => void, everyNs?: number): Waiting => {
    const one = { atNs: nowNs + Math.max(0, Math.round(ms * NS_PER_MS)), order: orders++, run, life: lives.getStore(), everyNs, isCancelled: false };
    push(one);
    return one;
  };

  const timer = (one: Waiting) => ({ one, ref: () => timer(one), unref: () => timer(one), hasRef: () => true, [Symbol.toPrimitive]: () => one.order });
  const cancel = (handle: { readonly one?: Waiting } | undefined): void => {
    if (handle?.one !== undefined) {
      handle.one.isCancelled = true;
      handle.one.everyNs = undefined;
    }
  };
  const sleep = (ms = 0, value?: unknown, { signal }: { readonly signal?: AbortSignal } = {}): Promise<unknown> => new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const one = waiting(ms, () => resolve(value));
    signal?.addEventListener('abort', () => {
      one.isCancelled = true;
      reject(signal.reason as Error);
    });
  });

  Object.assign(globalThis, {
    setTimeout: (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => timer(waiting(ms, () => run(...args))),
    setInterval: (run: () => void, ms: number) => timer(waiting(ms, run, Math.round(ms * NS_PER_MS))),
    setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) => timer(waiting(0, () => run(...args))),
    clearTimeout: cancel, clearInterval: cancel, clearImmediate: cancel,
  });
  Object.assign(timersPromises, { setTimeout: sleep, setImmediate: () => sleep(0) });
  syncBuiltinESMExports();

  const runNext = (next: Waiting): void => {
    nowNs = Math.max(nowNs, next.atNs);
    if (next.isCancelled || next.life?.isOver === true) return;
    steps++;
    if (next.life === undefined) next.run();
    else lives.run(next.life, next.run);
    if (next.everyNs !== undefined) push(Object.assign(next, { atNs: nowNs + next.everyNs, order: orders++ }));
  };

  return {
    nowNs: () => nowNs,
    async pass(ms) {
      const untilNs = nowNs + ms * NS_PER_MS;
      await settled();
      for (;;) {
        const next = queue[0];
        if (next === undefined || next.atNs > untilNs) break;
        pop();
        runNext(next);
        await settled();
      }
      nowNs = untilNs;
    },
    sleep: async (ms) => { await sleep(ms); },
    within: (life, work) => lives.run(life, work),
    steps: () => steps,
  };
}
