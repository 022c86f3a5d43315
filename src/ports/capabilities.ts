import type { Macaroon } from '../core/macaroon/codec.ts';
import type { TokenIdentity } from '../core/macaroon/identifier.ts';

/** Vouches for the chain of a macaroon; clearing its caveats is the service's, always. */
export interface Capabilities {
  /**
   * A name for each caveat's place in the chain, for rate buckets: the same for every narrowing of one
   * token. Throws 401 `NoCapability` on an unknown root, a bad chain or a revoked token, and
   * `AuthUnavailable` when nobody can be asked.
   */
  vouch(token: string, macaroon: Macaroon, identity: TokenIdentity): Promise<CaveatNames>;
  /** False while tokens cannot be checked against a current list; says what is missing. */
  isReady(): boolean;
}

export type CaveatNames = (position: number) => string;
