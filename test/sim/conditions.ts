import type { Anchored } from '../../src/ports/anchor.ts';
import type { OperationsConfig } from '../../src/service/operations.ts';
import type { BackendState } from './custody.ts';
import type { DiskWeather } from './disk.ts';
import { aeads } from '../../src/core/algorithm/table.ts';

/** How everything around the service is just now: troubles change it, and what is simulated looks at it. */
export interface Conditions {
  readonly disk: DiskWeather;
  backend: BackendState;
  /** By what the wall clock was stepped so far. */
  steppedMs: number;
  isAnchorOut: boolean;
  /** How long an anchor that is out takes to say so. */
  anchorOutMs: number;
  /** What the anchor holds: it outlives every disk. */
  anchored: Anchored | undefined;
  /** How often the settings were taken anew. */
  reloads: number;
}

export const SLOW_MS = 0.5;

export function createConditions(): Conditions {
  return { disk: { failing: 0, slowMs: SLOW_MS, diesIn: undefined }, backend: 'well', steppedMs: 0, isAnchorOut: false, anchorOutMs: 0, anchored: undefined, reloads: 0 };
}

/** All trouble is over. */
export function calm(conditions: Conditions): void {
  Object.assign(conditions.disk, { failing: 0, slowMs: SLOW_MS, diesIn: undefined });
  Object.assign(conditions, { backend: 'well', isAnchorOut: false, reloads: 0 });
}

/** The settings after so many reloads: with limits that bite, and without. */
export function configOf({ reloads }: Conditions): OperationsConfig {
  return {
    rules: { allowed: new Set(['ed25519', 'ml-dsa', 'x25519', 'ml-kem', 'aes-256-gcm', 'chacha20-poly1305']) },
    kemAead: reloads % 2 === 0 ? aeads['ChaCha20-Poly1305'] : aeads['AES-256-GCM'],
    signPerSecond: [0, 500, 20][reloads % 3] ?? 0,
    inFlightMax: { signing: reloads % 4 === 3 ? 8 : 512, verifying: 1024 },
    destroyMinAfterMs: 1000, verifyCacheTtlMs: 300_000,
  };
}
