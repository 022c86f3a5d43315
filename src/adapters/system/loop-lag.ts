import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How late the event loop was, in seconds, since it was last asked: of every look at the clock. */
export interface LoopLag {
  take(): Readonly<Record<'0.5' | '0.99' | '1', number>>;
}

const RESOLUTION_MS = 10;
const NS_PER_S = 1e9;

export function watchLoopLag(): LoopLag {
  const seen = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  seen.enable();
  // What is recorded is from one look to the next: the pause that was wanted is no lag.
  const lagOf = (ns: number): number => Math.max(0, ns / NS_PER_S - RESOLUTION_MS / 1000) || 0;
  return {
    take() {
      const lag = { '0.5': lagOf(seen.percentile(50)), '0.99': lagOf(seen.percentile(99)), '1': lagOf(seen.max) };
      seen.reset();
      return lag;
    },
  };
}
