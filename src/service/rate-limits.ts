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

/** One is taken from the bucket of this name, which holds one second's worth. */
interface Charge {
  readonly name: string;
  readonly perSecond: number;
}

const SECOND_NS = 1_000_000_000n;
const SWEEP_AT = 1024;

/** `signPerSecond` 0 is no limit. */
export function createRateLimits({ clock, signPerSecond }: { readonly clock: Clock; readonly signPerSecond: () => number }): RateLimits {
  const signing = createSharedRate();
  const takeOfCaveats = createBuckets(clock);
  const takeOfTenant = createBuckets(clock);

  return {
    chargeCaveats({ caveats, caveatNames }) {
      if (caveats.rates.length === 0) return;
      if (!takeOfCaveats(caveats.rates.map(({ perSecond, position }) => ({ name: caveatNames(position), perSecond })))) throw new KmsError('Backpressure', { hint: 'the rps caveat of the token is used up', retryAfterS: 1 });
    },
    chargeSigning(tenant) {
      const perSecond = signPerSecond();
      if (perSecond === 0) return;
      if (!signing.take(tenant, clock.monotonicNs(), perSecond)) {
        throw new KmsError('Backpressure', { hint: signing.sharers() === 1 ? 'security.sign_rate_limit_rps is used up' : 'this tenant\'s share of security.sign_rate_limit_rps is used up', retryAfterS: 1 });
      }
    },
    chargeTenant(tenant, perSecond) {
      if (perSecond === 0 || !takeOfTenant([{ name: tenant, perSecond }])) {
        throw new KmsError('QuotaExceeded', { hint: 'quotas.rps of this tenant is used up', retryAfterS: 1 });
      }
    },
  };
}

/** Takes one from each bucket, or none; what was taken under another rate stays taken. */
function createBuckets(clock: Clock): (charges: readonly Charge[]) => boolean {
  /** When each will be full again, nanoseconds of the monotonic clock: all there is to know of it. */
  const fullAtNs = new Map<string, bigint>();
  let sweepAt = SWEEP_AT;
  return (charges) => {
    const nowNs = clock.monotonicNs();
    // A token costs 1/rate seconds of refilling; a full second ahead is empty.
    const next = charges.map(({ name, perSecond }) => [name, later(fullAtNs.get(name), nowNs) + SECOND_NS / BigInt(perSecond)] as const);
    if (next.some(([, atNs]) => atNs - nowNs > SECOND_NS)) return false;
    for (const [name, atNs] of next) fullAtNs.set(name, atNs);
    if (fullAtNs.size >= sweepAt) sweepAt = Math.max(SWEEP_AT, 2 * dropFull(fullAtNs, nowNs));
    return true;
  };
}

function later(atNs: bigint | undefined, nowNs: bigint): bigint {
  return atNs !== undefined && atNs > nowNs ? atNs : nowNs;
}

/** A full bucket is as good as none: dropping it refills nothing. Returns how many are left. */
function dropFull(fullAtNs: Map<string, bigint>, nowNs: bigint): number {
  for (const [name, atNs] of fullAtNs) if (atNs <= nowNs) fullAtNs.delete(name);
  return fullAtNs.size;
}
