import type { Telemetry } from '../../src/ports/telemetry.ts';

const nothing = (): void => undefined;

/** Telemetry that keeps what it is told of the service itself: level, event and fields. */
export function telling(): { readonly telemetry: Telemetry; readonly told: readonly unknown[] } {
  const told: unknown[] = [];
  return { told, telemetry: { operation: nothing, refused: nothing, turnedAway: nothing, attested: nothing, event: (...one) => { told.push(one); } } };
}
