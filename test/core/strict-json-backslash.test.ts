import { expect, test } from 'vitest';
import { parseStrictJson } from '../../src/core/strict-json.ts';

const parse = (text: string): object => parseStrictJson(Buffer.from(text, 'utf8'));
const refused = expect.objectContaining({ code: 'BadRequest' });

/** V8 takes an escaped name for another with a backslash that it saw before (nodejs/node#63785): so there are none. */
test.each([
  ['a backslash', '{"\\\\":1}'],
  ['a letter in disguise', '{"\\u0061":1}'],
  ['a letter in disguise, a second time', '{"a":1,"\\u0061":2}'],
  ['a name that ends in a backslash', '{"a\\\\":1,"a\\\\":2}'],
  ['a quote', '{"\\"":1}'],
  ['white space before the colon', '{"a\\n" \t\r\n:1}'],
  ['deep in an array', '{"x":[{"a\\\\":1}]}'],
])('a field name with an escape is refused: %s', (_name, text) => {
  expect(() => parse(text)).toThrow(refused);
});

test('one request with odd names never changes how the next one is read', () => {
  expect(() => parse('{"a":1,"\\\\":1}')).toThrow(refused);
  expect(() => parse('{"a":1,"\\u0061":2}')).toThrow(refused);
  expect(() => parse('{"kid":1,"\\\\u006":1}')).toThrow(refused);
  expect(() => parse('{"kid":1,"\\u006fp_id":1}')).toThrow(refused);
  expect(parse('{"kid":1,"op_id":"\\u006f"}')).toEqual({ kid: 1, op_id: 'o' });
});

test.each([
  ['a value that looks like the end of a name', '{"a":"\\\\\\":1,\\"a\\\\"}', { a: '\\":1,"a\\' }],
  ['an escape in the value before a name', '{"a":"\\n","b":1}', { a: '\n', b: 1 }],
  ['a value of backslashes', '{"a":"\\\\\\\\","b":"\\\\"}', { a: '\\\\', b: '\\' }],
  ['a list of escaped strings', '{"a":["\\"","\\\\"]}', { a: ['"', '\\'] }],
])('escapes in values are read: %s', (_name, text, value) => {
  expect(parse(text)).toEqual(value);
});

test.each(['{"a', '{"a\\', '{"a\\"', '{"\\', '"', '{"a":"', '{"a":"\\"}', '{:"a"\\}'])('what does not end is refused and ends: %s', (text) => {
  expect(() => parse(text)).toThrow(refused);
});
