import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { deriveMacaroonKey, mint } from '../core/macaroon/chain.ts';
import { scopes } from '../core/macaroon/caveats.ts';
import { encodeToken } from '../core/macaroon/codec.ts';
import { formatIdentifier } from '../core/macaroon/identifier.ts';
import { formatRfc3339 } from '../core/time.ts';

export const DEMO_TENANT = 'demo';
const LIFE_MS = 24 * 3_600_000;
const SECRET_BYTES = 32;

/** A root key made on the spot and a day's token of it for tenant `demo`, with every scope. */
export function mintDemoToken(random: Random, clock: Clock): { readonly rootKeyId: string; readonly macaroonKey: Buffer; readonly token: string } {
  const rootKeyId = 'micronode';
  const secret = random.bytes(SECRET_BYTES);
  const macaroonKey = deriveMacaroonKey(secret);
  secret.fill(0);
  const identifier = formatIdentifier({ rootKeyId, clientId: DEMO_TENANT, tokenId: random.uuidv7() });
  const caveats = [`scope = ${scopes.join(',')}`, `tenant = ${DEMO_TENANT}`, `expires = ${formatRfc3339(clock.wallMs() + LIFE_MS)}`];
  return { rootKeyId, macaroonKey, token: encodeToken(mint(macaroonKey, identifier, caveats)) };
}
