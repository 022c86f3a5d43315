import type { Caveats } from '../../src/core/macaroon/caveats.ts';
import type { Op } from '../../src/core/log/entry.ts';
import type { Caller, ClientCall } from '../../src/service/call.ts';
import { scopes } from '../../src/core/macaroon/caveats.ts';
import { beginCall } from '../../src/service/call.ts';

interface CallerOptions {
  readonly clientId?: string;
  readonly rootKeyId?: string;
  readonly tokenId?: string;
  readonly peer?: string;
  readonly corrId?: string;
  readonly caveats?: Partial<Caveats>;
}

/** A caller as authentication would give it: every scope, tenant `core`, unless the caveats say otherwise. */
export function callerOf({ clientId = 'me', rootKeyId = 'root', tokenId = 't1', peer = '127.0.0.1', corrId = 'corr', caveats = {} }: CallerOptions = {}): Caller {
  return {
    identity: { clientId, rootKeyId, tokenId },
    actor: { client_id: clientId, root_key_id: rootKeyId, token_id: tokenId, via: 'tcp', peer },
    caveats: {
      scopes: new Set(scopes), tenants: ['core'], purposes: [], algs: [], kids: [], expiresAtMs: Number.MAX_SAFE_INTEGER, notBeforeMs: undefined, firstNotBeforeMs: undefined,
      peers: [], certificates: [], rates: [], ...caveats,
    },
    caveatTexts: [], caveatNames: String, peer, via: 'tcp', corrId, requestId: 'request', traceParent: undefined,
  };
}

/** A call of that caller for the instance as a whole, of every tenant, as such calls need; or of one with these caveats. */
export function clientCall(op: Op, caveats: Partial<Caveats> = { tenants: [] }): ClientCall {
  const caller = callerOf({ caveats });
  return beginCall({ caller, actor: caller.actor, corrId: caller.corrId, op, opId: 'op', startedNs: 0n });
}
