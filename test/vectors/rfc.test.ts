import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AeadName, KemName } from '../../src/core/algorithm/table.ts';
import { aeads, kems as kemRows, signatureSchemes } from '../../src/core/algorithm/table.ts';
import { hpkeOpen, hpkeSeal } from '../../src/core/envelope/hpke.ts';
import { createOurPrimitives } from './our-primitives.ts';
import { hex, tally } from './published.ts';

const { primitives: { signatures, kems }, publicKeys } = createOurPrimitives();
const NONE = Buffer.alloc(0);

/** The values of the RFCs are in this repository: these tests run everywhere. */
function readOwn(name: string): unknown {
  return (JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as { readonly vectors: unknown }).vectors;
}

describe('RFC 8032 §7.1, Ed25519', () => {
  interface Ed25519Vector {
    readonly name: string;
    readonly secretKey: string;
    readonly publicKey: string;
    readonly message: string;
    readonly signature: string;
  }
  const vectors = readOwn('rfc8032.json') as readonly Ed25519Vector[];

  test('there are five published values, of messages of 0, 1, 2, 1023 and 64 bytes', () => {
    expect(vectors.map(({ message }) => hex(message).length)).toEqual([0, 1, 2, 1023, 64]);
  });

  test.each(vectors)('$name: the secret key makes the published public key and exactly the published signature', async ({ secretKey, publicKey, message, signature }) => {
    const signer = signatures.Ed25519.signerFromSeed(hex(secretKey));
    expect(signer.publicBytes).toEqual(hex(publicKey));
    expect(await signer.sign(hex(message), NONE)).toEqual(hex(signature));
    signer.destroy();
  });

  test.each(vectors)('$name: the published signature verifies, and not once any bit of it is flipped', async ({ publicKey, message, signature }) => {
    const part = { alg: 'ed25519', bytes: hex(publicKey) };
    expect(await publicKeys.verify(signatureSchemes.Ed25519, part, hex(message), NONE, hex(signature))).toBe(true);
    for (let bit = 0; bit < 512; bit++) {
      const flipped = hex(signature);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(await publicKeys.verify(signatureSchemes.Ed25519, part, hex(message), NONE, flipped)).toBe(false);
    }
  });
});

describe('RFC 9180 base mode, sequence number 0', () => {
  interface KemVector {
    readonly source: string;
    readonly kem: KemName;
    readonly secretKey: string;
    readonly publicKey: string;
    readonly enc: string;
    readonly sharedSecret: string;
  }
  interface HpkeVector extends KemVector {
    readonly aead: AeadName;
    readonly info: string;
    readonly aad: string;
    readonly plaintext: string;
    readonly ciphertext: string;
  }
  const vectors = readOwn('rfc9180.json') as readonly (KemVector | HpkeVector)[];
  const whole = vectors.filter((vector): vector is HpkeVector => 'ciphertext' in vector);

  test('there is a published value for every KEM, and a published ciphertext for X25519 with both AEADs and for X-Wing', () => {
    expect(tally(vectors, ({ kem }) => kem)).toEqual({ X25519: 2, 'ML-KEM-768': 1, 'ML-KEM-1024': 1, 'X-Wing': 1 });
    expect(whole.map(({ kem, aead }) => `${kem} ${aead}`)).toEqual(['X25519 ChaCha20-Poly1305', 'X25519 AES-256-GCM', 'X-Wing ChaCha20-Poly1305']);
  });

  test.each(vectors)('$source: the private key makes the published public key and the published shared secret', ({ kem, secretKey, publicKey, enc, sharedSecret }) => {
    const key = kems[kem].fromSeed(hex(secretKey));
    expect(key.publicBytes).toEqual(hex(publicKey));
    expect(key.decapsulate(hex(enc))).toEqual(hex(sharedSecret));
  });

  test.each(whole)('$source: the published ciphertext opens to the published plaintext and is made from it again, and opens under nothing else', ({ kem, aead, secretKey, enc, ...text }) => {
    const secret = kems[kem].fromSeed(hex(secretKey)).decapsulate(hex(enc)) ?? NONE;
    const open = (info: Buffer, aad: Buffer, ciphertext: Buffer) => hpkeOpen(kemRows[kem], aeads[aead], secret, info, aad, ciphertext);
    const [info, aad, ciphertext] = [hex(text.info), hex(text.aad), hex(text.ciphertext)];
    expect(open(info, aad, ciphertext)).toEqual(hex(text.plaintext));
    expect(hpkeSeal(kemRows[kem], aeads[aead], secret, info, aad, hex(text.plaintext))).toEqual(ciphertext);
    expect(open(Buffer.concat([info, aad]), NONE, ciphertext)).toBeUndefined();
    expect(open(info, NONE, ciphertext)).toBeUndefined();
    expect(open(info, aad, ciphertext.subarray(1))).toBeUndefined();
  });
});
