import type { Clock } from '../ports/clock.ts';
import type { Caller } from './call.ts';
import { KmsError } from '../core/errors.ts';
import { createSharedRate } from './shared-rate.ts';

/** How often things may happen: what `rps` caveats say of a token, and the operator of a tenant and of the instance. */
export interface RateLimits {
  /** Takes one from the bucket of each `rps` caveat; takes none when one of them is empty. */
  chargeCaveats(caller: Caller): void;
  /** Takes one from the instance's signing rate, which tenants share fairly. */
  chargeSigning(tenant: string): void;
  /** Takes one from the tenant's own rate. */
  chargeTenant(tenant: string, perSecond: number): void;
}

/** It holds one second's worth. */
interface Bucket {
  /** When it will be full again, nanoseconds of the monotonic clock: all there is to know of it. */
  fullAtNs: bigint;
}

interface Charge {
  readonly bucket: Bucket;
  readonly perSecond: number;
}

const SECOND_NS = 1_000_000_000n;
const SWEEP_AT = 1024;

/** `signPerSecond` 0 is no limit. */
export function createRateLimits({ clock, signPerSecond }: { readonly clock: Clock; readonly signPerSecond: () => number }): RateLimits {
  const signing = createSharedRate();
  const ofCaveats = createBuckets(clock);
  const ofTenants = createBuckets(clock);

  return {
    chargeCaveats({ caveats, caveatNames }) {
      if (caveats.rates.length === 0) return;
      const charges = caveats.rates.map(({ perSecond, position }) => ({ bucket: ofCaveats(caveatNames(position)), perSecond }));
      if (!take(charges, clock.monotonicNs())) throw new KmsError('Backpressure', { hint: 'the rps caveat of the token is used up', retryAfterS: 1 });
    },
    chargeSigning(tenant) {
      const perSecond = signPerSecond();
      if (perSecond === 0) return;
      if (!signing.take(tenant, clock.monotonicNs(), perSecond)) {
        throw new KmsError('Backpressure', { hint: signing.sharers() === 1 ? 'security.sign_rate_limit_rps is used up' : 'this tenant\'s share of security.sign_rate_limit_rps is used up', retryAfterS: 1 });
      }
    },
    chargeTenant(tenant, perSecond) {
      if (perSecond === 0 || !take([{ bucket: ofTenants(tenant), perSecond }], clock.monotonicNs())) {
        throw new KmsError('QuotaExceeded', { hint: 'quotas.rps of this tenant is used up', retryAfterS: 1 });
      }
    },
  };
}

/** By name; what was taken under another rate stays taken. */
function createBuckets(clock: Clock): (name: string) => Bucket {
  const buckets = new Map<string, Bucket>();
  let sweepAt = SWEEP_AT;
  return (name) => {
    let bucket = buckets.get(name);
    if (bucket === undefined) {
      bucket = { fullAtNs: 0n };
      buckets.set(name, bucket);
      if (buckets.size >= sweepAt) sweepAt = Math.max(SWEEP_AT, 2 * dropFull(buckets, clock.monotonicNs()));
    }
    return bucket;
  };
}

/** Takes one from each bucket, or none. A token costs 1/rate seconds of refilling; a full second ahead is empty. */
function take(charges: readonly Charge[], nowNs: bigint): boolean {
  const next = charges.map(({ bucket: { fullAtNs }, perSecond }) => (fullAtNs > nowNs ? fullAtNs : nowNs) + SECOND_NS / BigInt(perSecond));
  if (next.some((fullAtNs) => fullAtNs - nowNs > SECOND_NS)) return false;
  for (const [i, { bucket }] of charges.entries()) bucket.fullAtNs = next[i] ?? nowNs;
  return true;
}

/** A full bucket is as good as none: dropping it refills nothing. Returns how many are left. */
function dropFull(buckets: Map<string, Bucket>, nowNs: bigint): number {
  for (const [name, { fullAtNs }] of buckets) if (fullAtNs <= nowNs) buckets.delete(name);
  return buckets.size;
}
