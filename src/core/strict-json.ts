import { isUtf8 } from 'node:buffer';
import { KmsError } from './errors.ts';

const DEPTH_MAX = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const WHITE_SPACE: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * JSON as the API takes it (RFC 8259): UTF-8, one object, no key twice, at most 16 levels deep, no
 * lone surrogates (they have no canonical form, RFC 8785 §3.2.2.2).
 *
 * `JSON.parse` keeps the last of two equal keys and says nothing, so the keys in the text are counted
 * against the keys in the value: they differ exactly when a key stands twice.
 *
 * Escapes in keys are refused before V8 sees them. No field of ours needs one, and V8 can misread an escaped
 * key as another one that an earlier text had (nodejs/node#63785).
 */
export function parseStrictJson(body: Buffer): object {
  if (!isUtf8(body)) throw notJson('the body is not UTF-8');
  const keysInText = countKeysInText(body);
  const text = body.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw notJson('the body is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notJson('the body is not a JSON object');
  if (countKeys(value, 1, text.includes('\\')) !== keysInText) throw notJson('a field stands twice');
  return value;
}

/**
 * Object keys in a text, if it is JSON: outside strings, every colon follows one. Over the bytes, as none of
 * these signs can be part of a longer UTF-8 sequence.
 */
function countKeysInText(text: Buffer): number {
  let keys = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === COLON) keys++;
    if (byte !== QUOTE) continue;
    const { end, hasEscape } = readString(text, at);
    if (hasEscape && isKey(text, end)) throw notJson('a field name has an escape');
    at = end;
  }
  return keys;
}

/** Where the string ends that begins here (the end of the text when it does not), and whether it has an escape. */
function readString(text: Buffer, start: number): { readonly end: number; readonly hasEscape: boolean } {
  let hasEscape = false;
  let end = start + 1;
  for (; end < text.length && text[end] !== QUOTE; end++) {
    if (text[end] !== BACKSLASH) continue;
    hasEscape = true;
    end++;
  }
  return { end, hasEscape };
}

function isKey(text: Buffer, end: number): boolean {
  let next = end + 1;
  while (WHITE_SPACE.has(text[next])) next++;
  return text[next] === COLON;
}

function countKeys(value: unknown, depth: number, hasEscapes: boolean): number {
  if (typeof value === 'string') {
    if (hasEscapes && !value.isWellFormed()) throw notJson('a string is not well-formed Unicode');
    return 0;
  }
  if (typeof value === 'number' && !isExact(value)) throw notJson('a number is too large to be exact');
  if (typeof value !== 'object' || value === null) return 0;
  if (depth > DEPTH_MAX) throw notJson('the body is nested too deep');
  let keys = 0;
  if (Array.isArray(value)) {
    for (const item of value) keys += countKeys(item, depth + 1, hasEscapes);
    return keys;
  }
  for (const [key, item] of Object.entries(value)) {
    keys += 1 + countKeys(key, depth, hasEscapes) + countKeys(item, depth + 1, hasEscapes);
  }
  return keys;
}

/** Beyond 2^53 different texts give the same number (RFC 7493 §2.2), and two requests would look the same. */
function isExact(value: number): boolean {
  return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value));
}

function notJson(hint: string): KmsError {
  return new KmsError('BadRequest', { hint });
}
