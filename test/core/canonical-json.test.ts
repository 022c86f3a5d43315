import canonicalize from 'canonicalize';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson } from '../../src/core/canonical-json.ts';

/**
 * Names on both sides of where UTF-16 and code point order part: U+E000 to U+FFFF, and beyond. None has a
 * backslash: V8's JSON.parse misreads other escaped names after one (nodejs/node#63785), and is used here.
 */
const name = fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }).filter((text) => !text.includes('\\')), fc.constantFrom('\ue000', '\uffff', '😀', '\u{10000}', '__proto__', 'a', 'A', 'é', 'e\u0301', '10', '9', ''));

test('any JSON value has the canonical form that the package of the RFC\'s author gives it', () => {
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'medium' },
      fc.constantFrom(null, true, false),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.maxSafeInteger(),
      fc.string({ unit: 'binary' }),
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.array(fc.tuple(name, tie('tree')), { maxLength: 5 }).map((members) => Object.fromEntries(members)),
    ),
  }));
  fc.assert(fc.property(tree, (value) => {
    expect(canonicalJson(value)).toBe(canonicalize(value));
    expect(canonicalJson(JSON.parse(canonicalJson(value)))).toBe(canonicalJson(value));
  }), { numRuns: 2000 });
});

test('a member that is undefined is left out, as JSON.stringify leaves it out', () => {
  expect(canonicalJson({ b: undefined, a: { c: undefined }, d: [{ e: undefined }] })).toBe('{"a":{},"d":[{}]}');
});

test('the order in which fields were written changes nothing', () => {
  fc.assert(fc.property(fc.uniqueArray(fc.tuple(name, fc.integer()), { selector: ([key]) => key, maxLength: 8 }), (members) => {
    expect(canonicalJson(Object.fromEntries(members))).toBe(canonicalJson(Object.fromEntries(members.toReversed())));
  }));
});

test('the example of RFC 8785 §3.2.2 has the form that §3.2.3 prints', () => {
  const text = '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}';
  expect(canonicalJson(JSON.parse(text))).toBe('{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}');
});
