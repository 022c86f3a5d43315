import type { Clock } from '../ports/clock.ts';
import type { Caller } from './call.ts';
import { KmsError } from '../core/errors.ts';

/** How often things may happen: what `rps` caveats say of a token, and the operator of the instance. */
export interface RateLimits {
  /** Takes one from the bucket of each `rps` caveat; takes none when one of them is empty. */
  chargeCaveats(caller: Caller): void;
  /** Takes one from the instance's signing rate. */
  chargeSigning(): void;
}

interface Bucket {
  readonly perSecond: number;
  /** When the bucket will be full again, nanoseconds of the monotonic clock: all there is to know of it. */
  fullAtNs: bigint;
}

const SECOND_NS = 1_000_000_000n;
const SWEEP_AT = 1024;

/** `signPerSecond` 0 is no limit. A bucket holds one second's worth. */
export function createRateLimits({ clock, signPerSecond }: { readonly clock: Clock; readonly signPerSecond: () => number }): RateLimits {
  let signing: Bucket = { perSecond: signPerSecond(), fullAtNs: 0n };
  const buckets = new Map<string, Bucket>();
  let sweepAt = SWEEP_AT;

  const bucketOf = (name: string, perSecond: number): Bucket => {
    let bucket = buckets.get(name);
    if (bucket === undefined) {
      bucket = { perSecond, fullAtNs: 0n };
      buckets.set(name, bucket);
      if (buckets.size >= sweepAt) sweepAt = Math.max(SWEEP_AT, 2 * dropFull(buckets, clock.monotonicNs()));
    }
    return bucket;
  };

  return {
    chargeCaveats({ caveats, caveatNames }) {
      if (caveats.rates.length === 0) return;
      take(caveats.rates.map(({ perSecond, position }) => bucketOf(caveatNames(position), perSecond)), clock.monotonicNs(), 'the rps caveat of the token is used up');
    },
    chargeSigning() {
      const perSecond = signPerSecond();
      // What was taken under the rate before a reload stays taken.
      if (perSecond !== signing.perSecond) signing = { ...signing, perSecond };
      if (perSecond > 0) take([signing], clock.monotonicNs(), 'security.sign_rate_limit_rps is used up');
    },
  };
}

/** Takes one from each bucket, or none. A token costs 1/rate seconds of refilling; a full second ahead is empty. */
function take(buckets: readonly Bucket[], nowNs: bigint, hint: string): void {
  const next = buckets.map(({ perSecond, fullAtNs }) => (fullAtNs > nowNs ? fullAtNs : nowNs) + SECOND_NS / BigInt(perSecond));
  if (next.some((fullAtNs) => fullAtNs - nowNs > SECOND_NS)) throw new KmsError('Backpressure', { hint, retryAfterS: 1 });
  for (const [i, bucket] of buckets.entries()) bucket.fullAtNs = next[i] ?? nowNs;
}

/** A full bucket is as good as none: dropping it refills nothing. Returns how many are left. */
function dropFull(buckets: Map<string, Bucket>, nowNs: bigint): number {
  for (const [name, { fullAtNs }] of buckets) if (fullAtNs <= nowNs) buckets.delete(name);
  return buckets.size;
}
