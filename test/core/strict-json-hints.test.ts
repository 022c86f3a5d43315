import { expect, test } from 'vitest';
import { parseStrictJson } from '../../src/core/strict-json.ts';

const deep = (levels: number): string => `${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`;

test.each([
  ['the body is not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
  ['the body is not JSON', '{'],
  ['the body is not a JSON object', '[]'],
  ['the body is not a JSON object', 'null'],
  ['a field stands twice', '{"a":1,"a":1}'],
  ['a field name has an escape', '{"\\u0061":1}'],
  ['a string is not well-formed Unicode', '{"a":"\\ud800"}'],
  ['a number is too large to be exact', '{"a":9007199254740992}'],
  ['a number is too large to be exact', '{"a":[-9007199254740993]}'],
  ['a number is too large to be exact', '{"a":1e400}'],
  ['the body is nested too deep', deep(17)],
])('who is refused is told why: %s', (hint, body) => {
  expect(() => parseStrictJson(Buffer.from(body))).toThrow(expect.objectContaining({ code: 'BadRequest', hint }));
});

test('numbers that stand for one value only are read: up to 2^53 - 1 whole, and any fraction', () => {
  for (const body of ['{"a":9007199254740991}', '{"a":-9007199254740991}', '{"a":0.1}', '{"a":1e-7}', '{"a":1.5e3}', deep(16)]) expect(parseStrictJson(Buffer.from(body))).toEqual(JSON.parse(body));
});
