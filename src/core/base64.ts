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
