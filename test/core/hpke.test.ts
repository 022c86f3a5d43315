import { readFileSync } from 'node:fs';
import { x25519 } from '@noble/curves/ed25519.js';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { aeads, kems } from '../../src/core/algorithm/table.ts';
import { aeadOpen, aeadSeal, dhkemSharedSecret } from '../../src/core/envelope/hpke.ts';

interface Vector {
  readonly source: string;
  readonly kem: string;
  readonly secretKey: string;
  readonly publicKey: string;
  readonly enc: string;
  readonly sharedSecret: string;
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const { vectors } = JSON.parse(readFileSync(new URL('../vectors/rfc9180.json', import.meta.url), 'utf8')) as { readonly vectors: readonly Vector[] };

test.each(vectors.filter(({ kem }) => kem === 'X25519'))('$source: what a token gives of its Diffie-Hellman makes the published shared secret', ({ secretKey, publicKey, enc, sharedSecret }) => {
  const dh = x25519.getSharedSecret(hex(secretKey), hex(enc));
  expect(dhkemSharedSecret(kems.X25519, dh, hex(enc), hex(publicKey)).toString('hex')).toBe(sharedSecret);
});

describe.each(Object.values(aeads))('what $name sealed', (aead) => {
  const [key, nonce, aad] = [Buffer.alloc(32, 1), Buffer.alloc(12, 2), Buffer.from('the header')];
  const plaintext = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));

  test('is opened again, 16 bytes shorter, the empty plaintext too', () => {
    fc.assert(fc.property(fc.oneof(fc.constant(Buffer.alloc(0)), plaintext), (secret) => {
      const sealed = aeadSeal(aead, key, nonce, aad, secret);
      expect(sealed).toHaveLength(secret.length + 16);
      expect(aeadOpen(aead, key, nonce, aad, sealed)).toEqual(secret);
    }));
  });

  test('is not opened with a byte of it, of its header or of its nonce changed, nor with any of it missing', () => {
    fc.assert(fc.property(plaintext, fc.nat(), fc.integer({ min: 1, max: 255 }), (secret, at, change) => {
      const sealed = aeadSeal(aead, key, nonce, aad, secret);
      const changed = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte, i) => (i === at % bytes.length ? byte ^ change : byte)));
      expect(aeadOpen(aead, key, nonce, aad, changed(sealed))).toBeUndefined();
      expect(aeadOpen(aead, key, nonce, changed(aad), sealed)).toBeUndefined();
      expect(aeadOpen(aead, key, changed(nonce), aad, sealed)).toBeUndefined();
      expect(aeadOpen(aead, key, nonce, aad, sealed.subarray(0, at % sealed.length))).toBeUndefined();
    }));
  });
});
