import { createHmac } from 'node:crypto';

const CAVEATS_MAX = 64;
const TOKEN_BYTES_MAX = 8192;
const SIGNATURE_BYTES = 32;
const V2 = 2;
const FIELD = { eos: 0, identifier: 2, signature: 6 } as const;
const CAVEAT = /^[a-z][a-z-]* = \S(?:.*\S)?$/;

/**
 * The token narrowed by more caveats, `name = value` each, in this order. Needs no key and no call to the service, and
 * cannot be undone: hand on the answer and keep the token (Birgisson et al., Macaroons, NDSS 2014).
 * Whether a caveat is known is for the service to say: an unknown one makes the token good for nothing.
 */
export function attenuateToken(token: string, caveats: readonly string[]): string {
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.toString('base64url') !== token) throw new TypeError('the token is not base64url without padding');
  const { signatureAt, caveatCount } = walk(bytes);
  if (caveatCount + caveats.length > CAVEATS_MAX) throw new RangeError(`a token has at most ${CAVEATS_MAX} caveats`);

  let signature = bytes.subarray(-SIGNATURE_BYTES);
  const added = caveats.map((caveat) => {
    if (!CAVEAT.test(caveat)) throw new TypeError('a caveat is written name = value, with single spaces');
    const id = Buffer.from(caveat, 'utf8');
    signature = createHmac('sha256', signature).update(id).digest();
    return Buffer.concat([field(FIELD.identifier, id), Buffer.of(FIELD.eos)]);
  });
  const narrowed = Buffer.concat([bytes.subarray(0, signatureAt), ...added, Buffer.of(FIELD.eos), field(FIELD.signature, signature)]);
  if (narrowed.length > TOKEN_BYTES_MAX) throw new RangeError(`a token is at most ${TOKEN_BYTES_MAX} bytes`);
  return narrowed.toString('base64url');
}

/** libmacaroons v2: sections of fields, each closed by an end mark; one more end mark and the signature close the token. */
function walk(bytes: Buffer): { readonly signatureAt: number; readonly caveatCount: number } {
  if (bytes[0] !== V2) throw notAToken();
  let at = 1;
  let sections = 0;
  while (at < bytes.length && bytes[at] !== FIELD.eos) {
    while (bytes[at] !== FIELD.eos) at = fieldEnd(bytes, at);
    at += 1;
    sections += 1;
  }
  const closing = Buffer.of(FIELD.eos, FIELD.signature, SIGNATURE_BYTES);
  if (sections === 0 || at + closing.length + SIGNATURE_BYTES !== bytes.length || !bytes.subarray(at, at + closing.length).equals(closing)) throw notAToken();
  return { signatureAt: at, caveatCount: sections - 1 };
}

/** Behind a type byte, a length of one or two bytes (LEB128) and that many more. */
function fieldEnd(bytes: Buffer, at: number): number {
  const low = bytes[at + 1];
  const high = low !== undefined && low >= 0x80 ? bytes[at + 2] : 0;
  if (low === undefined || high === undefined || high >= 0x80) throw notAToken();
  const end = at + (low >= 0x80 ? 3 : 2) + ((low & 0x7f) | (high << 7));
  if (end >= bytes.length) throw notAToken();
  return end;
}

function field(type: number, bytes: Buffer): Buffer {
  const { length } = bytes;
  return Buffer.concat([length < 0x80 ? Buffer.of(type, length) : Buffer.of(type, (length & 0x7f) | 0x80, length >> 7), bytes]);
}

function notAToken(): TypeError {
  return new TypeError('the token is not a macaroon of this service');
}
