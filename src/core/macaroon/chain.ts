import type { Macaroon } from './codec.ts';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { hmacSha256 } from './hmac.ts';

/** libmacaroons derives a macaroon's key from the lent secret with this label. */
const KEY_GENERATOR = 'macaroons-key-generator';

/** The macaroon key of a lent root secret. */
export function deriveMacaroonKey(secret: Uint8Array): Buffer {
  return createHmac('sha256', KEY_GENERATOR).update(secret).digest();
}

/** The chain value after each caveat, the identifier's first: the last one is the signature. */
function chainValues(macaroonKey: Uint8Array, identifier: Uint8Array, caveatIds: readonly Uint8Array[]): readonly Buffer[] {
  let value = hmacSha256(macaroonKey, identifier);
  const values = [value];
  for (const id of caveatIds) {
    value = hmacSha256(value, id);
    values.push(value);
  }
  return values;
}

/** The chain values when the signature is that of the key over these caveats in this order; undefined when not. */
export function verifyChain(macaroonKey: Uint8Array, macaroon: Macaroon): readonly Buffer[] | undefined {
  const values = chainValues(macaroonKey, macaroon.identifier, macaroon.caveats.map(({ id }) => id));
  const last = values.at(-1);
  return last !== undefined && timingSafeEqual(last, macaroon.signature) ? values : undefined;
}

export function mint(macaroonKey: Uint8Array, identifier: string, caveats: readonly string[]): Macaroon {
  const ids = caveats.map((text) => Buffer.from(text, 'utf8'));
  const name = Buffer.from(identifier, 'utf8');
  const signature = chainValues(macaroonKey, name, ids).at(-1) ?? Buffer.alloc(0);
  return { identifier: name, caveats: ids.map((id) => ({ id, isThirdParty: false })), signature };
}

/** The macaroon with one more caveat: needs no key, and cannot be undone. */
export function attenuate(macaroon: Macaroon, caveat: string): Macaroon {
  const id = Buffer.from(caveat, 'utf8');
  return {
    identifier: macaroon.identifier,
    caveats: [...macaroon.caveats, { id, isThirdParty: false }],
    signature: hmacSha256(macaroon.signature, id),
  };
}
