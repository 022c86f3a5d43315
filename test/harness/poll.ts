import { setTimeout as pause } from 'node:timers/promises';

const EVERY_MS = 25;

/** Asks until the answer is neither undefined nor false, and gives it; fails after the deadline, saying what was awaited. */
export async function eventually<T>(what: string, withinMs: number, ask: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await pause(EVERY_MS);
  }
}
