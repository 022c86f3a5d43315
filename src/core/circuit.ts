/**
 * Keeps callers from somebody who does not answer. After some failures in a row nobody asks any more; when the wait is
 * over one call goes ahead and the others are still kept back, until it has said how it went. Each wait is twice as long
 * as the one before, less a part by chance, so that services that lost the same peer do not come back at once.
 */
export interface Circuit {
  /** Undefined: go, and say how it went. Else how long there is nothing to be had, in milliseconds. */
  enter(nowNs: bigint): number | undefined;
  succeeded(): void;
  failed(nowNs: bigint): void;
  isClosed(): boolean;
}

export interface CircuitConfig {
  readonly failuresMax: number;
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
  /** From 0 to below 1. */
  readonly chance: () => number;
}

const MS_NS = 1_000_000n;

export function createCircuit({ failuresMax, firstWaitMs, longestWaitMs, chance }: CircuitConfig): Circuit {
  let failures = 0;
  let waitMs = firstWaitMs;
  let waitEndsNs: bigint | undefined;
  let isProbing = false;

  return {
    enter(nowNs) {
      if (waitEndsNs === undefined) return undefined;
      const leftMs = Number((waitEndsNs - nowNs) / MS_NS);
      if (isProbing || leftMs > 0) return Math.max(leftMs, 1);
      isProbing = true;
      return undefined;
    },
    succeeded() {
      [failures, waitMs, waitEndsNs, isProbing] = [0, firstWaitMs, undefined, false];
    },
    failed(nowNs) {
      failures++;
      // Of calls that began before the wait, only the first says anything new.
      if (failures < failuresMax || (waitEndsNs !== undefined && !isProbing)) return;
      waitEndsNs = nowNs + BigInt(Math.round(waitMs * (1 - chance() / 2))) * MS_NS;
      waitMs = Math.min(2 * waitMs, longestWaitMs);
      isProbing = false;
    },
    isClosed: () => waitEndsNs === undefined,
  };
}
