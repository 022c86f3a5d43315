import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseStrictJson } from '../../src/core/strict-json.ts';

const refused = expect.objectContaining({ code: 'BadRequest' });
const parse = (text: string): object => parseStrictJson(Buffer.from(text, 'utf8'));

/** A JSON text, and what was put into it: so nothing has to read it to know. */
interface Made {
  readonly text: string;
  /** Objects and arrays inside one another. */
  readonly levels: number;
  readonly hasTwice: boolean;
  readonly isWellFormed: boolean;
  /** A field name is spelled with an escape. */
  readonly hasEscapedName: boolean;
}

const scalar = (text: string): Made => ({ text, levels: 0, hasTwice: false, isWellFormed: true, hasEscapedName: false });

/**
 * Few names, and every one of them awkward, so that the same one comes twice and in several spellings; those
 * with an escape are refused (strict-json-backslash.test.ts says why).
 */
const awkward = ['a', 'b', '', '"', 'a"', ':', '{"a":1}', 'é', '😀', '\u0000', '\n', '/', '__proto__', 'constructor', '0', '\ud800'] as const;
const short: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '/': '\\/', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One UTF-16 unit as JSON may write it; `how` chooses among the ways. */
function spell(unit: string, how: number): string {
  const digits = unit.charCodeAt(0).toString(16).padStart(4, '0');
  const isBare = unit >= ' ' && unit !== '"' && unit !== '\\' && unit.isWellFormed();
  const ways = [`\\u${digits}`, `\\u${digits.toUpperCase()}`, ...(short[unit] === undefined ? [] : [short[unit]]), ...(isBare ? [unit, unit] : [])];
  return ways[how % ways.length] ?? '';
}

const stringText = fc.tuple(fc.constantFrom(...awkward), fc.array(fc.nat(), { minLength: 8, maxLength: 8 }))
  .map(([value, hows]) => ({ value, text: `"${value.split('').map((unit, i) => spell(unit, hows[i % 8] ?? 0)).join('')}"` }));

const space = fc.constantFrom('', '', '', ' ', '\n', '\t', '\r ');

const { value } = fc.letrec<{ value: Made; array: Made; object: Made; item: Made }>((tie) => ({
  item: fc.oneof(
    fc.constantFrom('0', '-0', '1.5e3', 'true', 'false', 'null').map(scalar),
    stringText.map(({ value, text }) => ({ ...scalar(text), isWellFormed: value.isWellFormed() })),
  ),
  array: fc.tuple(fc.array(tie('value'), { maxLength: 3 }), space).map(([items, gap]) => ({
    text: `[${items.map(({ text }) => `${gap}${text}`).join(',')}]`,
    levels: 1 + Math.max(0, ...items.map(({ levels }) => levels)),
    hasTwice: items.some(({ hasTwice }) => hasTwice),
    isWellFormed: items.every(({ isWellFormed }) => isWellFormed),
    hasEscapedName: items.some(({ hasEscapedName }) => hasEscapedName),
  })),
  object: fc.tuple(fc.array(fc.tuple(stringText, tie('value')), { maxLength: 4 }), space).map(([members, gap]) => ({
    text: `{${members.map(([name, { text }]) => `${gap}${name.text}${gap}:${text}${gap}`).join(',')}}`,
    levels: 1 + Math.max(0, ...members.map(([, { levels }]) => levels)),
    hasTwice: new Set(members.map(([name]) => name.value)).size !== members.length || members.some(([, { hasTwice }]) => hasTwice),
    isWellFormed: members.every(([name, { isWellFormed }]) => name.value.isWellFormed() && isWellFormed),
    hasEscapedName: members.some(([name, { hasEscapedName }]) => name.text.includes('\\') || hasEscapedName),
  })),
  value: fc.oneof({ depthSize: 'medium' }, tie('item'), tie('array'), tie('object'), tie('object')),
}));

/** The value inside `count` more objects and arrays. */
function nest({ text, levels, ...rest }: Made, count: number): Made {
  const shells = Array.from({ length: count }, (_, i) => (count - i) % 2 === 0);
  return { ...rest, levels: levels + count, text: shells.reduce((inner, isArray) => (isArray ? `[${inner}]` : `{"deep":${inner}}`), text) };
}

describe('the JSON of a request', () => {
  test('an object with no field twice, no escape in a name, well-formed and at most 16 levels deep is read as JSON.parse reads it; everything else is refused', () => {
    fc.assert(fc.property(value, fc.constantFrom(0, 0, 0, 1, 13, 15, 17), (inner, count) => {
      const made = nest(inner, count);
      const isTaken = made.text.startsWith('{') && !made.hasTwice && !made.hasEscapedName && made.isWellFormed && made.levels <= 16;
      if (isTaken) expect(parse(made.text)).toEqual(JSON.parse(made.text));
      else expect(() => parse(made.text)).toThrow(refused);
    }), { numRuns: 3000 });
  });

  test('whatever JSON.parse does not read is refused', () => {
    const token = fc.constantFrom('{', '}', '[', ']', ':', ',', '"', '\\x', '"a"', '"a":', '1', 'true', ' ', '\\u0061', '\u2028', '\ufeff', 'é');
    fc.assert(fc.property(fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join('')), (text) => {
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      fc.pre(!isJson);
      expect(() => parse(text)).toThrow(refused);
    }), { numRuns: 2000 });
  });

  test.each([
    ['the same name plainly', '{"a":1,"a":1}'],
    ['the same name with another between', '{"a":1,"b":2,"a":3}'],
    ['a name once spelled with an escape', '{"a":1,"\\u0061":2}'],
    ['a name once with digits in capitals', '{"\\u00e9":1,"\\u00E9":2}'],
    ['a slash once escaped', '{"/":1,"\\/":2}'],
    ['a name with a quote in it', '{"a\\":1":1,"a\\":1":2}'],
    ['__proto__', '{"__proto__":1,"__proto__":2}'],
    ['the empty name', '{"":1,"":2}'],
    ['a name that is a number', '{"0":1,"0":2}'],
    ['deep in an array', '{"x":[1,[{"y":{"a":1,"a":2}}]]}'],
    ['in an object that a later one replaces', '{"x":{"a":1,"a":2},"x":3}'],
    ['with an object replaced by one with fewer names', '{"x":{"a":1,"b":2},"x":{}}'],
    ['a surrogate pair once escaped', '{"😀":1,"\\ud83d\\ude00":2}'],
  ])('a field that stands twice is refused: %s', (_name, text) => {
    expect(() => parse(text)).toThrow(refused);
  });

  test.each([
    ['a colon in a value', '{"a":"b:c","b":":"}'],
    ['an escaped quote before a colon', '{"b":1,"a":":\\":"}'],
    ['text that looks like a second field', '{"a":"\\",\\"a\\":2"}'],
    ['__proto__ once, as a field of its own', '{"__proto__":{"a":1},"a":2}'],
    ['the same name in two objects', '{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}'],
    ['names that differ in case', '{"a":1,"A":2}'],
    ['names that normalise alike', '{"\u00e9":1,"e\u0301":2}'],
    ['no field at all', ' { } '],
  ])('what only looks like a second field is read: %s', (_name, text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test('16 levels are read, 17 are refused, and so are a hundred thousand', () => {
    const inner = { ...scalar('{}'), levels: 1 };
    expect(parse(nest(inner, 15).text)).toEqual(JSON.parse(nest(inner, 15).text));
    expect(() => parse(nest(inner, 16).text)).toThrow(refused);
    expect(() => parse(nest(inner, 17).text)).toThrow(refused);
    expect(() => parse(`{"a":${'['.repeat(16)}${']'.repeat(16)}}`)).toThrow(refused);
    expect(() => parse(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)).toThrow(refused);
  });

  test.each(['[]', '[{}]', '1', '"a"', 'true', 'null', ''])('a body that is no object is refused: %j', (text) => {
    expect(() => parse(text)).toThrow(refused);
  });

  test('a lone surrogate is refused as a name and as a value, a pair is read', () => {
    for (const text of ['{"a":"\\ud800"}', '{"\\udc00":1}', '{"a":["\\ude00\\ud83d"]}']) expect(() => parse(text)).toThrow(refused);
    expect(parse('{"a":"\\ud83d\\ude00"}')).toEqual({ a: '😀' });
  });

  test('bytes that are not UTF-8 are refused, and so is a byte order mark', () => {
    for (const bad of ['ff', 'c328', 'c080', 'eda080', 'f4908080', 'e282']) {
      expect(() => parseStrictJson(Buffer.concat([Buffer.from('{"a":"'), Buffer.from(bad, 'hex'), Buffer.from('"}')]))).toThrow(refused);
    }
    expect(() => parseStrictJson(Buffer.from('\ufeff{}', 'utf8'))).toThrow(refused);
  });
});
