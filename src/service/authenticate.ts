import type { Actor } from '../core/log/entry.ts';
import type { Caveats } from '../core/macaroon/caveats.ts';
import type { Macaroon } from '../core/macaroon/codec.ts';
import type { TokenIdentity } from '../core/macaroon/identifier.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Capabilities } from '../ports/capabilities.ts';
import type { Clock } from '../ports/clock.ts';
import type { Caller } from './call.ts';
import { isIPv6 } from 'node:net';
import { KmsError } from '../core/errors.ts';
import { readCaveats } from '../core/macaroon/caveats.ts';
import { decodeToken } from '../core/macaroon/codec.ts';
import { parseIdentifier } from '../core/macaroon/identifier.ts';

export interface AuthenticateDeps {
  readonly capabilities: Capabilities;
  readonly clock: Clock;
  readonly audit: Pick<AuditLog, 'lastEntryMs'>;
  /** Asked each time: a reload may change them. */
  readonly limits: () => TokenLimits;
}

export interface TokenLimits {
  readonly maxTokenLifetimeMs: number;
  readonly timeSkewToleranceMs: number;
}

/** What the connection says of the caller, and the ids of the request. */
interface Connection {
  readonly peer: string | undefined;
  /** How it came in: `tcp`, `tls`, or `mtls:` and the name in the client's certificate. */
  readonly via: string;
  /** SHA-256 of the client's certificate, lower-case hex; undefined where it has shown none. */
  readonly certificateSha256: string | undefined;
  readonly corrId: string;
  readonly requestId: string;
  readonly traceParent: string | undefined;
}

export type Authenticate = (token: string | undefined, connection: Connection) => Promise<Caller>;

/** What a token says; whether it is true is asked anew on every request. */
interface ReadToken {
  readonly macaroon: Macaroon;
  readonly identity: TokenIdentity;
  readonly caveatTexts: readonly string[];
  readonly caveats: Caveats;
}

const TOKENS_READ_MAX = 512;

/**
 * A token to a caller, in the order of DESIGN §5: decode, chain, standing caveats. What an operation
 * needs of the caveats (scope, kid, rate) is `authorise`'s.
 */
export function makeAuthenticate({ capabilities, clock, audit, limits }: AuthenticateDeps): Authenticate {
  // Reading a token again gives the same, so the latest ones that were vouched for are kept as read.
  const latest = new Map<string, ReadToken>();
  const keep = (token: string, read: ReadToken): void => {
    if (latest.size >= TOKENS_READ_MAX) for (const [oldest] of latest) { latest.delete(oldest); break; }
    latest.set(token, read);
  };

  return async (token, connection) => {
    if (token === undefined) throw unauthenticated('send a capability token: Authorization: Bearer <macaroon>');
    const known = latest.get(token);
    const { macaroon, identity } = known ?? decode(token);
    const caveatNames = await capabilities.vouch(token, macaroon, identity);
    const read = known ?? readToken(macaroon, identity);
    if (known === undefined) keep(token, read);

    checkTime(read.caveats, Math.max(clock.wallMs(), audit.lastEntryMs()), limits());
    checkConnection(read.caveats, connection);
    return { identity, actor: actorOf(identity, connection), caveats: read.caveats, caveatTexts: read.caveatTexts, caveatNames, ...connection };
  };
}

function actorOf({ clientId, rootKeyId, tokenId }: TokenIdentity, { via, peer }: Connection): Actor {
  return { client_id: clientId, root_key_id: rootKeyId, token_id: tokenId, via, peer };
}

function decode(token: string): Pick<ReadToken, 'macaroon' | 'identity'> {
  const macaroon = decodeToken(token);
  const identity = macaroon && parseIdentifier(macaroon.identifier);
  if (macaroon === undefined || identity === undefined) throw unauthenticated('the token cannot be decoded');
  return { macaroon, identity };
}

function readToken(macaroon: Macaroon, identity: TokenIdentity): ReadToken {
  if (macaroon.caveats.some(({ isThirdParty }) => isThirdParty)) throw unauthenticated('third-party caveats are not accepted');
  const caveatTexts = macaroon.caveats.map(({ id }) => id.toString('utf8'));
  const caveats = readCaveats(caveatTexts);
  if (typeof caveats === 'string') throw new KmsError('NoCapability', { hint: `the token has ${caveats}` });
  return { macaroon, identity, caveatTexts, caveats };
}

function checkTime(caveats: Caveats, nowMs: number, { maxTokenLifetimeMs, timeSkewToleranceMs }: TokenLimits): void {
  const { expiresAtMs, notBeforeMs, firstNotBeforeMs } = caveats;
  if (expiresAtMs + timeSkewToleranceMs < nowMs) throw unauthenticated('the token has expired');
  if (notBeforeMs !== undefined && notBeforeMs - timeSkewToleranceMs > nowMs) throw unauthenticated('the token is not yet valid');
  // Valid by now, if only by the tolerance: a not-before that lies a little ahead buys no longer life.
  const lifetimeMs = expiresAtMs - Math.min(nowMs, firstNotBeforeMs ?? nowMs);
  if (lifetimeMs > maxTokenLifetimeMs + timeSkewToleranceMs) throw new KmsError('NoCapability', { hint: 'the token lives longer than auth.max_token_lifetime' });
}

function checkConnection(caveats: Caveats, { peer, certificateSha256 }: Connection): void {
  const isPeerAdmitted = caveats.peers.every((subnet) => peer !== undefined && subnet.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4'));
  if (!isPeerAdmitted) throw new KmsError('NoCapability', { hint: 'the token is not for this peer address' });
  if (caveats.certificates.every((sha256) => sha256 === certificateSha256)) return;
  throw new KmsError('NoCapability', { hint: certificateSha256 === undefined ? 'the token is for a client certificate, and this connection has none' : 'the token is for another client certificate' });
}

function unauthenticated(hint: string): KmsError {
  return new KmsError('NoCapability', { status: 401, hint });
}
