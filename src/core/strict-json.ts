import { isUtf8 } from 'node:buffer';
import { KmsError } from './errors.ts';

const DEPTH_MAX = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
/** White space, and a colon behind it. */
const COLON_NEXT = /[ \t\n\r]*:/y;

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
  const text = body.toString('utf8');
  const keysInText = countKeysInText(text);
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

/** Object keys in a text, if it is JSON: outside strings, every colon follows one. */
function countKeysInText(text: string): number {
  const hasEscapes = text.includes('\\');
  let keys = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === COLON) keys++;
    if (c !== QUOTE) continue;
    const end = endOfString(text, i);
    if (hasEscapes && isKey(text, end) && text.lastIndexOf('\\', end) > i) throw notJson('a field name has an escape');
    i = end;
  }
  return keys;
}

/** Where the string ends that begins here; the end of the text when it does not. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end > 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end;
}

function isKey(text: string, end: number): boolean {
  COLON_NEXT.lastIndex = end + 1;
  return COLON_NEXT.test(text);
}

function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === BACKSLASH) first--;
  return (at - first) % 2 === 1;
}

function countKeys(value: unknown, depth: number, hasEscapes: boolean): number {
  if (typeof value === 'string') {
    if (hasEscapes && !value.isWellFormed()) throw notJson('a string is not well-formed Unicode');
    return 0;
  }
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

function notJson(hint: string): KmsError {
  return new KmsError('BadRequest', { hint });
}
