import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { algNames } from '../../src/core/algorithm/table.ts';
import { KID_CHARS_MAX, kidBase, kidText, parseKid, RESERVED_TENANT } from '../../src/core/key/kid.ts';

const lower = 'abcdefghijklmnopqrstuvwxyz0123456789'.split('');
const nameHead = fc.constantFrom(...lower);
const nameTail = fc.string({ unit: fc.constantFrom(...lower, '.', '_', '-'), maxLength: 62 });
const name = fc.tuple(nameHead, nameTail).map(([head, tail]) => head + tail);
const uuid = fc.uuid({ version: 7 });
const version = fc.integer({ min: 1, max: 999_999_999 });
const parts = fc.record({ tenant: name, purpose: name, alg: fc.constantFrom(...algNames), uuid });

const UUID = '01932c07-2b4e-7c55-9a2f-0123456789ab';

describe('a kid', () => {
  test('is read back to what it was made of, with and without a version', () => {
    fc.assert(fc.property(parts, version, ({ tenant, purpose, alg, uuid }, number) => {
      const base = kidBase(tenant, purpose, alg, uuid);
      expect(parseKid(base)).toEqual({ tenant, purpose, alg, base, version: undefined });
      expect(parseKid(kidText(base, number))).toEqual({ tenant, purpose, alg, base, version: number });
      expect(kidText(base, number).length).toBeLessThanOrEqual(KID_CHARS_MAX);
    }));
  });

  test('has 208 characters at most: names of 63, an algorithm of 32, a UUID and a version of nine digits', () => {
    const longest = kidText(kidBase('t'.repeat(63), 'p'.repeat(63), 'a'.repeat(32) as 'ed25519', UUID), 999_999_999);
    expect([longest.length, KID_CHARS_MAX]).toEqual([208, 208]);
  });

  test('of the service itself begins with its own name', () => {
    expect(parseKid(kidBase(RESERVED_TENANT, 'log', 'ed25519', UUID))?.tenant).toBe('ron-kms');
  });

  test('has one spelling: changed in any one character it is refused, or names another key or version', () => {
    fc.assert(fc.property(parts, version, fc.nat(), fc.constantFrom(...lower, ...'ABZ/#v.+-_% \n\0é'.split('')), ({ tenant, purpose, alg, uuid }, number, at, character) => {
      const text = kidText(kidBase(tenant, purpose, alg, uuid), number);
      const place = at % text.length;
      fc.pre(text[place] !== character);
      const changed = text.slice(0, place) + character + text.slice(place + 1);
      const kid = parseKid(changed);
      if (kid !== undefined) expect(kid.version === undefined ? kid.base : kidText(kid.base, kid.version)).toBe(changed);
    }), { numRuns: 1000 });
  });

  test.each([
    ['the empty text', ''],
    ['a segment too few', `core/audit/ed25519`],
    ['a segment too many', `core/audit/x/ed25519/${UUID}`],
    ['an empty tenant', `/audit/ed25519/${UUID}`],
    ['a tenant of 64 characters', `${'a'.repeat(64)}/audit/ed25519/${UUID}`],
    ['a tenant in capitals', `Core/audit/ed25519/${UUID}`],
    ['a tenant that begins with a dot', `.core/audit/ed25519/${UUID}`],
    ['a purpose with a space', `core/au dit/ed25519/${UUID}`],
    ['an algorithm that there is not', `core/audit/rsa/${UUID}`],
    ['an algorithm in capitals', `core/audit/ED25519/${UUID}`],
    ['the name of an object property as algorithm', `core/audit/constructor/${UUID}`],
    ['a parameter set as algorithm', `core/audit/ml-dsa-65/${UUID}`],
    ['a UUID of version 4', 'core/audit/ed25519/01932c07-2b4e-4c55-9a2f-0123456789ab'],
    ['a UUID of another variant', 'core/audit/ed25519/01932c07-2b4e-7c55-7a2f-0123456789ab'],
    ['a UUID in capitals', `core/audit/ed25519/${UUID.toUpperCase()}`],
    ['a UUID without dashes', `core/audit/ed25519/${UUID.replaceAll('-', '')}`],
    ['version 0', `core/audit/ed25519/${UUID}#v0`],
    ['a version with a leading zero', `core/audit/ed25519/${UUID}#v01`],
    ['a negative version', `core/audit/ed25519/${UUID}#v-1`],
    ['a version that is no number', `core/audit/ed25519/${UUID}#vx`],
    ['an empty version', `core/audit/ed25519/${UUID}#v`],
    ['a version in another notation', `core/audit/ed25519/${UUID}#v1e3`],
    ['a version twice', `core/audit/ed25519/${UUID}#v1#v2`],
    ['a percent sign', `core/audit/ed25519/${UUID}%23v1`],
    ['a line end behind it', `core/audit/ed25519/${UUID}#v1\n`],
    ['a space before it', ` core/audit/ed25519/${UUID}`],
  ])('is refused with %s', (_name, text) => {
    expect(parseKid(text)).toBeUndefined();
  });
});
