/** Standard base64 with padding (RFC 4648 §4) in its one canonical spelling; undefined when it is not that. */
export function readBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** A whole number without sign or leading zero that JavaScript holds exactly; undefined when it is not that. */
export function readDecimal(text: string): number | undefined {
  const value = /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** What has a length of one byte in front, as names and origins have under an ML-DSA-44 cosignature. */
export function isShort(text: string): boolean {
  return text !== '' && Buffer.byteLength(text, 'utf8') <= 255;
}

/** C2SP signed-note: a key's name has no Unicode space and no plus; a control character no note may have. */
export function isKeyName(text: string): boolean {
  return isShort(text) && /^[^\s+\p{Cc}]+$/u.test(text);
}
