import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { deriveMacaroonKey, mint } from '../core/macaroon/chain.ts';
import { scopes } from '../core/macaroon/caveats.ts';
import { encodeToken } from '../core/macaroon/codec.ts';
import { formatIdentifier } from '../core/macaroon/identifier.ts';
import { formatRfc3339 } from '../core/time.ts';

const DEMO_TENANT = 'demo';
const LIFE_MS = 24 * 3_600_000;
const SECRET_BYTES = 32;

export interface DemoToken {
  readonly rootKeyId: string;
  /** The root secret, as ron-auth would lend it; the receiver zeroes it. */
  readonly secret: Buffer;
  readonly token: string;
}

/** A root key made on the spot and a day's token of it for tenant `demo`, with every scope. */
export function mintDemoToken(random: Random, clock: Clock): DemoToken {
  const rootKeyId = 'micronode';
  const secret = random.bytes(SECRET_BYTES);
  const identifier = formatIdentifier({ rootKeyId, clientId: DEMO_TENANT, tokenId: random.uuidv7() });
  const caveats = [`scope = ${scopes.join(',')}`, `tenant = ${DEMO_TENANT}`, `expires = ${formatRfc3339(clock.wallMs() + LIFE_MS)}`];
  return { rootKeyId, secret, token: encodeToken(mint(deriveMacaroonKey(secret), identifier, caveats)) };
}
