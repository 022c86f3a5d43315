/**
 * A rate that many share: each of those who want something has a bucket of its own with an equal part of what comes in,
 * and what runs over goes into one that is everybody's. So who wants less than an equal part always has it, whatever the
 * others do, nothing is wasted while anybody wants it, and alone one gets all there is. Together they never hold more
 * than one second's worth.
 */
export interface SharedRate {
  /** False when there is nothing for this one. The rate may be another one each time. */
  take(name: string, nowNs: bigint, perSecond: number): boolean;
  /** How many share it at the moment. */
  sharers(): number;
}

interface Sharer {
  left: number;
  seenNs: bigint;
}

/** Who wanted nothing for so long has no part any more. */
const FORGOTTEN_NS = 2_000_000_000n;
/** Buckets are filled at most so often, as all of them are. */
const FILLED_EVERY_NS = 1_000_000n;

export function createSharedRate(): SharedRate {
  const sharers = new Map<string, Sharer>();
  /** Everybody's; full at first. */
  let common = Infinity;
  let filledNs = 0n;

  const fill = (nowNs: bigint, perSecond: number): void => {
    const incoming = perSecond * Math.min(1, Number(nowNs - filledNs) / 1e9);
    filledNs = nowNs;
    for (const [name, { left, seenNs }] of sharers) {
      if (nowNs - seenNs < FORGOTTEN_NS) continue;
      common += left;
      sharers.delete(name);
    }
    const part = perSecond / sharers.size;
    let held = 0;
    for (const sharer of sharers.values()) {
      const filled = sharer.left + incoming / sharers.size;
      sharer.left = Math.min(filled, part);
      common += filled - sharer.left;
      held += sharer.left;
    }
    common = Math.max(0, Math.min(common, perSecond - held));
  };

  return {
    take(name, nowNs, perSecond) {
      let own = sharers.get(name);
      if (own === undefined) sharers.set(name, (own = { left: 0, seenNs: nowNs }));
      own.seenNs = nowNs;
      if (nowNs - filledNs >= FILLED_EVERY_NS) fill(nowNs, perSecond);
      if (own.left >= 1) own.left--;
      else if (own.left + common >= 1) [own.left, common] = [0, common - (1 - own.left)];
      else return false;
      return true;
    },
    sharers: () => sharers.size,
  };
}
