import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeBase64, decodeBase64Into, decodeBase64Url } from '../../src/core/base64.ts';

const bytes = fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array));

test('bytes come back from their base64 and from their base64url', () => {
  fc.assert(fc.property(bytes, (original) => {
    expect(decodeBase64(original.toString('base64'))).toEqual(original);
    expect(decodeBase64Url(original.toString('base64url'))).toEqual(original);
  }));
});

test('into memory that is there, without a string: the same bytes, and nothing but base64 of as many', () => {
  fc.assert(fc.property(bytes, (original) => {
    const into = Buffer.alloc(original.length);
    expect([decodeBase64Into(into, Buffer.from(original.toString('base64'))), into]).toEqual([true, original]);
    expect(decodeBase64Into(Buffer.alloc(original.length + 3), Buffer.from(original.toString('base64')))).toBe(false);
  }));
  for (const [bytesLong, spelt] of [[1, 'AB=='], [2, 'AAB=']] as const) expect(decodeBase64Into(Buffer.alloc(bytesLong), Buffer.from(spelt))).toBe(false);
  const text = fc.string({ unit: fc.constantFrom(...'AQgw+/-_=zZ09 \n'.split('')), maxLength: 12 });
  fc.assert(fc.property(text, fc.nat(9), (candidate, length) => {
    const into = Buffer.alloc(length);
    if (decodeBase64Into(into, Buffer.from(candidate))) expect(into.toString('base64')).toBe(candidate);
  }), { numRuns: 2000 });
});

test('equal bytes have one text: a text that decodes is the one its bytes are written as', () => {
  const text = fc.string({ unit: fc.constantFrom(...'AQgw+/-_=zZ09 \n'.split('')), maxLength: 12 });
  fc.assert(fc.property(text, (candidate) => {
    const url = decodeBase64Url(candidate);
    if (url !== undefined) expect(url.toString('base64url')).toBe(candidate);
    let standard: Buffer | undefined;
    try {
      standard = decodeBase64(candidate);
    } catch (fault) {
      expect(fault).toMatchObject({ code: 'BadRequest', hint: 'fields ending _b64 are standard base64 with padding' });
    }
    if (standard !== undefined) expect(standard.toString('base64')).toBe(candidate);
  }), { numRuns: 2000 });
});

test.each(['A', 'AA', 'AAA', 'AA=', 'AB==', 'AAB=', 'AA==AA==', 'AAAA=', '=', ' AAAA', 'AAAA\n', 'A-_A', 'AA%3D%3D', 'AA==\0', 'ÄÄÄÄ'])('%j is no standard base64 with padding', (text) => {
  expect(() => decodeBase64(text)).toThrow(expect.objectContaining({ code: 'BadRequest' }));
});

test.each(['A', 'AA==', 'AB', 'AAB', 'A+/A', ' AAAA', 'AAAA\n', 'AA='])('%j is no base64url without padding', (text) => {
  expect(decodeBase64Url(text)).toBeUndefined();
});
