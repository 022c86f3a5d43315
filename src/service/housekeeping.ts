import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { ClockGuard } from './clock-guard.ts';
import type { OwnChanges } from './own-changes.ts';
import { KmsError } from '../core/errors.ts';

export interface HousekeepingDeps {
  readonly store: Pick<KeyStore, 'due'>;
  readonly own: OwnChanges;
  readonly clocks: { readonly clock: Clock; readonly guard: ClockGuard };
  readonly telemetry: Telemetry;
}

/**
 * What the service does by itself when its time has come: erases private parts and rotates keys. Nothing is done while
 * the clock is doubted.
 */
export function makeHousekeeping({ store, own, clocks, telemetry }: HousekeepingDeps): () => Promise<void> {
  return async () => {
    if (!clocks.guard.isTrusted()) return;
    for (const { base, eraseVersion } of await store.due(clocks.clock.wallMs())) {
      try {
        await (eraseVersion === undefined ? own.rotate(base) : own.erase(base, eraseVersion));
      } catch (fault) {
        telemetry.event('error', 'housekeeping_failed', { code: KmsError.from(fault).code });
      }
    }
  };
}
