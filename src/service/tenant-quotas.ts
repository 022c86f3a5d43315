import type { Quotas } from '../core/policy/decision.ts';
import type { KeyCounts } from '../core/key/counts.ts';
import type { Call } from './call.ts';
import type { RateLimits } from './rate-limits.ts';
import { KmsError } from '../core/errors.ts';

/** What a tenant may use at most (DESIGN §6, `quotas`), held against what it uses. */
export interface TenantQuotas {
  /** One operation more: of those a second, and of those at once until the call is over. Throws `QuotaExceeded`. */
  enter(call: Call, tenant: string, quotas: Quotas): void;
  /** One key more. Counts those that are being made too, so that creates that race do not pass it together. */
  takeKey(call: Call, tenant: string, quotas: Quotas): void;
}

export interface TenantQuotasDeps {
  readonly rates: Pick<RateLimits, 'chargeTenant'>;
  readonly keyCounts: () => Pick<KeyCounts, 'ofTenant'>;
}

/** A full tenant stays full until somebody does something about it. */
const KEYS_RETRY_S = 60;

export function makeTenantQuotas({ rates, keyCounts }: TenantQuotasDeps): TenantQuotas {
  const underWay = new Map<string, number>();
  const beingMade = new Map<string, number>();

  return {
    enter(call, tenant, { rps, inFlight }) {
      if (inFlight !== undefined && (underWay.get(tenant) ?? 0) >= inFlight) throw new KmsError('QuotaExceeded', { hint: 'quotas.inflight operations of this tenant are under way' });
      if (rps !== undefined) rates.chargeTenant(tenant, rps);
      if (inFlight !== undefined) hold(underWay, call, tenant);
    },
    takeKey(call, tenant, { keys }) {
      if (keys === undefined) return;
      if (keyCounts().ofTenant(tenant) + (beingMade.get(tenant) ?? 0) >= keys) {
        throw new KmsError('QuotaExceeded', { hint: 'the tenant has quotas.keys keys, destroyed ones among them; whoever runs the service may allow more', retryAfterS: KEYS_RETRY_S });
      }
      hold(beingMade, call, tenant);
    },
  };
}

/** One more for the tenant, until the call is over. */
function hold(counts: Map<string, number>, call: Call, tenant: string): void {
  counts.set(tenant, (counts.get(tenant) ?? 0) + 1);
  call.releases.push(() => {
    const left = (counts.get(tenant) ?? 0) - 1;
    if (left > 0) counts.set(tenant, left);
    else counts.delete(tenant);
  });
}
