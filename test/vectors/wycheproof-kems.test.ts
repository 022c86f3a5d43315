import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createOurPrimitives } from './our-primitives.ts';
import { describePublished, hex, readCases, readPublished } from './published.ts';
import { dhkemSharedSecret, kemPeers } from './second-opinion.ts';

const { primitives: { kems } } = createOurPrimitives();

interface Xdh {
  readonly tcId: number;
  readonly flags: readonly string[];
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

const readX25519 = () => readCases<{ tests: readonly Xdh[] }>('wycheproof/x25519_test.json.gz', ({ item }) => (item.flags.includes('ZeroSharedSecret') ? 'zero' : 'secret'), { secret: 487, zero: 31 });

describePublished('Wycheproof, X25519', () => {
  test('every published shared secret comes out of our DHKEM, twists and non-canonical points included (487 of 518 cases)', () => {
    const wrong: number[] = [];
    for (const { item } of readX25519().filter(({ way }) => way === 'secret')) {
      const key = kems.X25519.fromSeed(hex(item.private));
      const expected = dhkemSharedSecret(hex(item.shared), hex(item.public), key.publicBytes);
      if (key.decapsulate(hex(item.public))?.equals(expected) !== true) wrong.push(item.tcId);
    }
    expect(wrong).toEqual([]);
  });

  test('a point of low order opens nothing and seals nothing, in DHKEM and in X-Wing (31 cases; X-Wing hashes its X25519 key from a seed, so only the point is the published one)', () => {
    const xWing = kems['X-Wing'].fromSeed(randomBytes(32));
    const { enc } = kems['X-Wing'].encapsulate(xWing.publicBytes);
    expect(xWing.decapsulate(enc)).toHaveLength(32);
    for (const { item } of readX25519().filter(({ way }) => way === 'zero')) {
      const point = hex(item.public);
      expect(kems.X25519.fromSeed(hex(item.private)).decapsulate(point)).toBeUndefined();
      expect(xWing.decapsulate(Buffer.concat([enc.subarray(0, 1088), point]))).toBeUndefined();
      expect(() => kems.X25519.encapsulate(point)).toThrow();
      expect(() => kems['X-Wing'].encapsulate(Buffer.concat([xWing.publicBytes.subarray(0, 1184), point]))).toThrow();
    }
  });
});

interface MlKem {
  readonly tcId: number;
  readonly result: 'valid' | 'invalid';
  readonly seed: string;
  readonly ek?: string;
  readonly c: string;
  readonly K: string;
}

interface Encaps {
  readonly tcId: number;
  readonly result: 'valid' | 'invalid';
  readonly flags: readonly string[];
  readonly ek: string;
}

describePublished('Wycheproof, ML-KEM-768', () => {
  test('a seed makes the published encapsulation key and opens the published ciphertexts; wrong lengths of seed and ciphertext open nothing (193 cases)', () => {
    const cases = readCases<{ tests: readonly MlKem[] }>(
      'wycheproof/mlkem_768_test.json.gz',
      ({ item }) => (item.result === 'valid' ? 'valid' : `wrong length of ${hex(item.seed).length === 64 ? 'ciphertext' : 'seed'}`),
      { valid: 153, 'wrong length of ciphertext': 20, 'wrong length of seed': 20 },
    );
    for (const { item, way } of cases) {
      if (way === 'wrong length of seed') {
        expect(() => kems['ML-KEM-768'].fromSeed(hex(item.seed))).toThrow();
        continue;
      }
      const key = kems['ML-KEM-768'].fromSeed(hex(item.seed));
      expect(key.publicBytes).toEqual(hex(item.ek ?? ''));
      expect(key.decapsulate(hex(item.c))).toEqual(item.result === 'valid' ? hex(item.K) : undefined);
    }
  });

  test('an encapsulation key over the modulus or of the wrong length is refused, all others are taken (265 cases; m cannot be chosen, so c and K are not compared)', () => {
    const cases = readCases<{ tests: readonly Encaps[] }>('wycheproof/mlkem_768_encaps_test.json.gz', ({ item: { result, flags, ek } }) => {
      if (flags.includes('ModulusOverflow')) return 'modulus overflow';
      return hex(ek).length === 1184 ? result : 'wrong length';
    }, { valid: 133, 'modulus overflow': 12, invalid: 100, 'wrong length': 20 });
    const wrong: number[] = [];
    for (const { item } of cases) if (isTaken(hex(item.ek)) !== (item.result === 'valid')) wrong.push(item.tcId);
    expect(wrong).toEqual([]);
  });
});

describePublished('X-Wing, draft-connolly-cfrg-xwing-kem-10', () => {
  interface XWing {
    readonly seed: string;
    readonly sk: string;
    readonly pk: string;
    readonly ct: string;
    readonly ss: string;
  }

  test('a seed makes the published public key and opens the published encapsulation (3 cases; eseed cannot be driven, so our own encapsulation is opened by another library instead)', () => {
    const cases = readPublished('xwing/test-vectors.json') as readonly XWing[];
    expect(cases).toHaveLength(3);
    for (const { seed, sk, pk, ct, ss } of cases) {
      expect(sk).toBe(seed);
      const key = kems['X-Wing'].fromSeed(hex(sk));
      expect(key.publicBytes).toEqual(hex(pk));
      expect(key.decapsulate(hex(ct))).toEqual(hex(ss));
      const { enc, sharedSecret } = kems['X-Wing'].encapsulate(hex(pk));
      expect(Buffer.from(kemPeers['X-Wing'].decapsulate(hex(sk), enc))).toEqual(sharedSecret);
    }
  });
});

function isTaken(encapsulationKey: Buffer): boolean {
  try {
    return kems['ML-KEM-768'].encapsulate(encapsulationKey).sharedSecret.length === 32;
  } catch {
    return false;
  }
}
