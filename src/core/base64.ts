import { KmsError } from './errors.ts';

/**
 * Standard base64 with padding, canonical only (RFC 4648 §4, §3.5): no white space, no missing
 * padding, no stray trailing bits, so that equal bytes have one text.
 */
export function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new KmsError('BadRequest', { hint: 'fields ending _b64 are standard base64 with padding' });
  return bytes;
}

/** base64url without padding, canonical only (RFC 4648 §5); undefined when it is not. */
export function decodeBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

const SIGNS = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1');
const PADDING = 0x3d;
const SIGN_BITS = 6;

/**
 * Standard base64 of just as many bytes as `into` takes, for secrets: no string is made on the way, as none can be zeroed.
 * False when it is none; what is in `into` then is to be zeroed.
 */
export function decodeBase64Into(into: Uint8Array, text: Uint8Array): boolean {
  const padding = (3 - (into.length % 3)) % 3;
  const signs = text.length - padding;
  if (text.length !== 4 * Math.ceil(into.length / 3) || text.subarray(signs).some((sign) => sign !== PADDING)) return false;
  let [bits, held, at] = [0, 0, 0];
  for (let i = 0; i < signs; i++) {
    const value = SIGNS.indexOf(text[i] ?? 0);
    if (value < 0) return false;
    bits = ((bits << SIGN_BITS) | value) & 0xffff;
    held += SIGN_BITS;
    if (held < 8) continue;
    held -= 8;
    into[at++] = (bits >> held) & 0xff;
  }
  // Bits that no byte has: equal bytes have one text.
  return (bits & ((1 << held) - 1)) === 0;
}
