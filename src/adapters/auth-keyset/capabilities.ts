import type { Capabilities } from '../../ports/capabilities.ts';
import type { Keyset } from './keyset.ts';
import type { Revocations } from './revocations.ts';
import { KmsError } from '../../core/errors.ts';
import { verifyChain } from '../../core/macaroon/chain.ts';
import { REVEAL } from '../../core/reveal.ts';

export interface KeysetCapabilitiesDeps {
  readonly keyset: { value(): Keyset; isCurrent(): boolean };
  readonly revocations: { value(): Revocations; isCurrent(): boolean };
}

/** `auth.mode = "keyset"`: the chain is checked here, on every request, with the root keys lent to the service. */
export function createKeysetCapabilities({ keyset, revocations }: KeysetCapabilitiesDeps): Capabilities {
  return {
    async vouch(_token, macaroon, identity) {
      const key = keyset.value().get(identity.rootKeyId);
      const chain = key && verifyChain(key.read(REVEAL), macaroon);
      if (chain === undefined) throw new KmsError('NoCapability', { status: 401, hint: 'the token was not made with a known root key' });
      if (revocations.value().covers(identity)) throw new KmsError('NoCapability', { status: 401, hint: 'the token is revoked' });
      // The chain holds a value for the identifier and then one for each caveat.
      return (position) => chain[position + 1]?.toString('base64') ?? '';
    },
    isReady: () => keyset.isCurrent() && revocations.isCurrent() && keyset.value().size > 0,
  };
}
