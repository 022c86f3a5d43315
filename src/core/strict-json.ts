import { isUtf8 } from 'node:buffer';
import { KmsError } from './errors.ts';

const DEPTH_MAX = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/**
 * JSON as the API takes it (RFC 8259): UTF-8, one object, no key twice, at most 16 levels deep, no
 * lone surrogates (they have no canonical form, RFC 8785 §3.2.2.2).
 *
 * `JSON.parse` keeps the last of two equal keys and says nothing, so the keys in the text are counted
 * against the keys in the value: they differ exactly when a key stands twice.
 */
export function parseStrictJson(body: Buffer): object {
  if (!isUtf8(body)) throw notJson('the body is not UTF-8');
  let value: unknown;
  const text = body.toString('utf8');
  try {
    value = JSON.parse(text);
  } catch {
    throw notJson('the body is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notJson('the body is not a JSON object');
  if (countKeys(value, 1, text.includes('\\')) !== countKeysInText(text)) throw notJson('a field stands twice');
  return value;
}

/** Object keys in a valid JSON text: outside strings, every colon follows one. */
function countKeysInText(text: string): number {
  let keys = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === COLON) keys++;
    else if (c === QUOTE) i = endOfString(text, i);
  }
  return keys;
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
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
