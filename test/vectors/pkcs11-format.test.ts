import { gcm } from '@noble/ciphers/aes.js';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openSeeds, sealSeeds } from '../../src/adapters/custody-pkcs11/wrapped-blob.ts';

interface Vector {
  readonly name: string;
  readonly kid: string;
  readonly generation: number;
  readonly data_key_hex: string;
  readonly wrapped_hex: string;
  readonly nonce_hex: string;
  readonly seeds_hex: string;
  readonly blob_hex: string;
}

const { vectors } = JSON.parse(readFileSync(new URL('../../docs/formats/vectors/pkcs11.json', import.meta.url), 'utf8')) as { readonly vectors: readonly Vector[] };
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');

/** docs/formats/pkcs11.md once more, with another library; the token's part of it is given. */
function openSlowly({ blob_hex: hex, kid, generation, data_key_hex: key }: Vector): string {
  const blob = bytes(hex);
  const generationBytes = Buffer.alloc(8);
  generationBytes.writeBigUInt64BE(BigInt(generation));
  const aad = Buffer.concat([blob.subarray(0, 61), generationBytes, Buffer.from(kid)]);
  return Buffer.from(gcm(bytes(key), blob.subarray(61, 73), aad).decrypt(blob.subarray(73))).toString('hex');
}

/** Gives the data key for the vector's wrapped one and its kid, and for nothing else. */
const tokenOf = ({ data_key_hex: key, wrapped_hex: wrapped, kid }: Vector) => ({
  decrypt: async (_label: string, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array) =>
    (Buffer.concat([nonce, sealed]).toString('hex') === wrapped && Buffer.from(aad).toString() === kid ? new Uint8Array(bytes(key)) : undefined),
});

describe('docs/formats/vectors/pkcs11.json', () => {
  test.each(vectors)('$name', async (vector) => {
    const { kid, generation, data_key_hex: key, wrapped_hex: wrapped, nonce_hex: nonce, seeds_hex: seeds, blob_hex: blob } = vector;
    expect(sealSeeds(bytes(seeds), { key: bytes(key), wrapped: bytes(wrapped) }, kid, generation, bytes(nonce)).toString('hex')).toBe(blob);
    expect(openSlowly(vector)).toBe(seeds);
    expect((await openSeeds(tokenOf(vector), bytes(blob), kid, generation))?.toString('hex')).toBe(seeds);
    expect(await openSeeds(tokenOf(vector), bytes(blob), kid, generation + 1)).toBeUndefined();
    expect(await openSeeds(tokenOf(vector), bytes(blob), kid.replace('#v1', '#v2'), generation)).toBeUndefined();
    expect(await openSeeds(tokenOf(vector), bytes(`02${blob.slice(2)}`), kid, generation)).toBeUndefined();
    expect(await openSeeds(tokenOf(vector), bytes(blob.slice(0, -2)), kid, generation)).toBeUndefined();
  });
});
