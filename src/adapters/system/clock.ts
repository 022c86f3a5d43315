import type { Clock } from '../../ports/clock.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicNs: () => process.hrtime.bigint(),
};
