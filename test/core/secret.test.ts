import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { REVEAL } from '../../src/core/reveal.ts';
import { Secret } from '../../src/core/secret.ts';

test('a secret cannot be turned into text by accident: each way gives the same word', () => {
  const secret = new Secret(Buffer.from('hunter2'));
  expect([String(secret), JSON.stringify({ secret }), inspect(secret), inspect({ secret }, { depth: 9, showHidden: true })]).toEqual(['[secret]', '{"secret":"[secret]"}', '[secret]', '{ secret: [secret] }']);
  expect(Object.keys(secret)).toEqual([]);
});

test('a secret that is destroyed is zeros, and is not read again', () => {
  const bytes = Buffer.from('hunter2');
  const secret = new Secret(bytes);
  expect(secret.read(REVEAL)).toBe(bytes);
  secret.destroy();
  expect(bytes).toEqual(Buffer.alloc(7));
  expect(() => secret.read(REVEAL)).toThrow('a destroyed secret was read');
});

test('memory that was lent for a secret is given back once, however often it is destroyed', () => {
  const given: Buffer[] = [];
  const bytes = Buffer.from('hunter2');
  const secret = new Secret(bytes, (back) => given.push(back));
  secret.destroy();
  secret.destroy();
  expect(given).toEqual([bytes]);
});
