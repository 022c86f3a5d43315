import { readdirSync, readFileSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';

const TASKS = '/proc/self/task';
/** As libuv names them. */
const POOL_THREAD = 'libuv-worker';
/** A tenth of the weight of the thread that serves, where both want the same core. */
const NICER_BY = 10;

/**
 * Puts the threads that sign behind the one that serves: with as many of them as cores, or more, it would wait its turn for
 * milliseconds before it could hand out work or write an answer. They lose nothing to each other by it, and in a control group of its
 * own (a systemd unit, a container) nothing to other services. Where threads have no priority of their own, nothing is done. To be
 * called once the pool has worked; gives how many threads it found.
 */
export function lowerPoolPriority(): number {
  try {
    const nice = Math.min(getPriority() + NICER_BY, constants.priority.PRIORITY_LOW);
    const threads = readdirSync(TASKS).filter((id) => readFileSync(`${TASKS}/${id}/comm`, 'latin1').trim() === POOL_THREAD);
    for (const id of threads) setPriority(Number(id), nice);
    return threads.length;
  } catch {
    return 0;
  }
}
