import { hkdfSync } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Aead } from '../../src/core/algorithm/table.ts';
import { aeads } from '../../src/core/algorithm/table.ts';
import { blake3Hex } from '../../src/core/digest.ts';
import { aeadOpen, aeadSeal } from '../../src/core/envelope/hpke.ts';
import { describePublished, hex, readCases, readPublished } from './published.ts';

interface AeadGroup {
  readonly ivSize: number;
  readonly keySize: number;
  readonly tagSize: number;
  readonly tests: readonly AeadCase[];
}

interface AeadCase {
  readonly tcId: number;
  readonly result: 'valid' | 'invalid';
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

const wayOf = ({ group, item }: { group: AeadGroup; item: AeadCase }): string => {
  const isOurs = group.keySize === 256 && group.ivSize === 96 && group.tagSize === 128;
  return isOurs ? item.result : 'another size of key or nonce';
};

/** Ids of the cases where we differ from what is published. */
function differences(aead: Aead, cases: readonly AeadCase[]): readonly number[] {
  return cases.flatMap(({ tcId, result, key, iv, aad, msg, ct, tag }) => {
    const opened = aeadOpen(aead, hex(key), hex(iv), hex(aad), hex(ct + tag));
    if (result === 'invalid') return opened === undefined ? [] : [tcId];
    const sealed = aeadSeal(aead, hex(key), hex(iv), hex(aad), hex(msg));
    return opened?.equals(hex(msg)) === true && sealed.equals(hex(ct + tag)) ? [] : [tcId];
  });
}

describePublished('Wycheproof, AEADs', () => {
  test('AES-256-GCM seals and opens as published and refuses every changed tag (66 of 316 cases: ours are 256-bit keys and 96-bit nonces only)', () => {
    const cases = readCases('wycheproof/aes_gcm_test.json.gz', wayOf, { valid: 39, invalid: 27, 'another size of key or nonce': 250 });
    expect(differences(aeads['AES-256-GCM'], cases.filter(({ way, item }) => way === item.result).map(({ item }) => item))).toEqual([]);
  });

  test('ChaCha20-Poly1305 seals and opens as published and refuses every changed tag (316 of 325 cases: ours are 96-bit nonces only)', () => {
    const cases = readCases('wycheproof/chacha20_poly1305_test.json.gz', wayOf, { valid: 256, invalid: 60, 'another size of key or nonce': 9 });
    expect(differences(aeads['ChaCha20-Poly1305'], cases.filter(({ way, item }) => way === item.result).map(({ item }) => item))).toEqual([]);
  });
});

describePublished('Wycheproof, HKDF-SHA-256', () => {
  interface HkdfCase {
    readonly tcId: number;
    readonly result: 'valid' | 'invalid';
    readonly ikm: string;
    readonly salt: string;
    readonly info: string;
    readonly size: number;
    readonly okm: string;
  }

  test('the HKDF of the platform gives the published keys (86 cases; HPKE composes its own from HMAC, which the HPKE vectors hold)', () => {
    const cases = readCases<{ tests: readonly HkdfCase[] }>('wycheproof/hkdf_sha256_test.json.gz', ({ item }) => item.result, { valid: 83, invalid: 3 });
    for (const { item: { result, ikm, salt, info, size, okm } } of cases) {
      const derive = () => Buffer.from(hkdfSync('sha256', hex(ikm), hex(salt), hex(info), size));
      if (result === 'valid') expect(derive()).toEqual(hex(okm));
      else expect(derive).toThrow();
    }
  });
});

describePublished('BLAKE3', () => {
  interface Blake3 {
    readonly cases: readonly { readonly input_len: number; readonly hash: string }[];
  }

  test('inputs from nothing to 100 KiB have the published hash (35 cases; keyed_hash and derive_key are not used)', () => {
    const { cases } = readPublished('blake3/test_vectors.json') as Blake3;
    expect(cases).toHaveLength(35);
    for (const { input_len: length, hash } of cases) {
      expect(blake3Hex(Buffer.from(Array.from({ length }, (_, i) => i % 251)))).toBe(hash.slice(0, 64));
    }
  });
});
