import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { hmacSha256 } from '../../src/core/macaroon/hmac.ts';

test('HMAC over libsodium is the HMAC of OpenSSL, for data of every length', () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 3000 }), (key, data) => {
    expect(hmacSha256(key, data)).toEqual(createHmac('sha256', key).update(data).digest());
  }));
  const key = Buffer.alloc(32, 0x36);
  for (let length = 0; length < 2100; length++) expect(hmacSha256(key, Buffer.alloc(length, 0x5c)).equals(createHmac('sha256', key).update(Buffer.alloc(length, 0x5c)).digest())).toBe(true);
});

test('HMAC is the published value of RFC 4231 test case 1, its key padded with zeros', () => {
  const key = Buffer.concat([Buffer.alloc(20, 0x0b), Buffer.alloc(12)]);
  expect(hmacSha256(key, Buffer.from('Hi There')).toString('hex')).toBe('b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7');
});

test('HMAC refuses a key of another length', () => {
  expect(() => hmacSha256(Buffer.alloc(31), Buffer.alloc(1))).toThrow('32 bytes');
});
