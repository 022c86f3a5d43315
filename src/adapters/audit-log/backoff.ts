import type { Random } from '../../ports/random.ts';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Backoff {
  /** 100 ms to 5 s, longer each time, with jitter; returns at once when stopped. */
  pause(): Promise<void>;
  reset(): void;
  stop(): void;
}

const FIRST_MS = 200;
const LONGEST_MS = 5000;

export function createBackoff(random: Random): Backoff {
  const stopping = new AbortController();
  let nextMs = FIRST_MS;
  return {
    async pause() {
      const ms = nextMs * (0.5 + random.bytes(1).readUInt8() / 512);
      nextMs = Math.min(2 * nextMs, LONGEST_MS);
      try {
        await sleep(ms, undefined, { signal: stopping.signal });
      } catch {
        // Stopped: whoever waits looks why.
      }
    },
    reset: () => { nextMs = FIRST_MS; },
    stop: () => stopping.abort(),
  };
}
