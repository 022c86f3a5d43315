import type { Caller } from './call.ts';
import type { RateLimits } from './rate-limits.ts';
import { formatRfc3339 } from '../core/time.ts';

export interface TokenDocument {
  readonly client_id: string;
  readonly scopes: readonly string[];
  readonly caveats: readonly string[];
  readonly expires: string;
}

/** GET /token: what this token may do. */
export function makeReadToken({ rates }: { readonly rates: RateLimits }) {
  return (caller: Caller): TokenDocument => {
    rates.chargeCaveats(caller);
    return {
      client_id: caller.identity.clientId,
      scopes: [...caller.caveats.scopes],
      caveats: caller.caveatTexts,
      expires: formatRfc3339(caller.caveats.expiresAtMs),
    };
  };
}
