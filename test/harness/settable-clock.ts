import type { Clock } from '../../src/ports/clock.ts';

/** The time of now until it is set; then it stands still. */
export function settableClock(): { readonly clock: Clock; readonly setWall: (ms: number) => void } {
  let wallMs: number | undefined;
  return { clock: { wallMs: () => wallMs ?? Date.now(), monotonicNs: () => process.hrtime.bigint() }, setWall: (ms) => { wallMs = ms; } };
}
