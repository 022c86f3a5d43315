import { createPrivateKey, decapsulate } from 'node:crypto';
import { expect, test } from 'vitest';
import type { KemName, SignatureSchemeName } from '../../src/core/algorithm/table.ts';
import { signatureSchemes } from '../../src/core/algorithm/table.ts';
import { createOurPrimitives } from './our-primitives.ts';
import { describePublished, hex, readCases } from './published.ts';

const { primitives: { signatures, kems }, publicKeys } = createOurPrimitives();
const EMPTY = Buffer.alloc(0);

interface Group<C> {
  readonly parameterSet: string;
  readonly tests: readonly C[];
}

/** A case of key generation: the prompt has the seed, the expected results the public key. */
interface KeyGen {
  readonly tcId: number;
  readonly seed?: string;
  readonly d?: string;
  readonly z?: string;
  readonly pk?: string;
  readonly ek?: string;
}

function readKeyGen(path: string, counts: Readonly<Record<string, number>>) {
  const results = readCases<{ tgId: number; tests: readonly KeyGen[] }>(`${path}_expectedResults.json.gz`, ({ group }) => `group ${group.tgId}`, { 'group 1': 25, 'group 2': 25, 'group 3': 25 });
  const resultOf = new Map(results.map(({ item }) => [item.tcId, item]));
  const prompts = readCases<Group<KeyGen>>(`${path}_prompt.json.gz`, ({ group }) => group.parameterSet, counts);
  return prompts.map(({ group: { parameterSet }, item: { tcId, seed, d, z } }) => ({ parameterSet, seed: hex(seed ?? `${d}${z}`), publicKey: hex(resultOf.get(tcId)?.pk ?? resultOf.get(tcId)?.ek ?? '') }));
}

describePublished('NIST ACVP, ML-DSA (FIPS 204)', () => {
  test('a seed makes the published public key in all three parameter sets (75 cases; the expanded private key is never ours to compare)', () => {
    const cases = readKeyGen('acvp/ML-DSA-keyGen-FIPS204', { 'ML-DSA-44': 25, 'ML-DSA-65': 25, 'ML-DSA-87': 25 });
    for (const { parameterSet, seed, publicKey } of cases) {
      expect(signatures[parameterSet as SignatureSchemeName].signerFromSeed(seed).publicBytes).toEqual(publicKey);
    }
  });

  interface SigVerGroup extends Group<SigVer> {
    readonly signatureInterface: 'external' | 'internal';
    readonly preHash: 'pure' | 'preHash' | 'none';
  }
  interface SigVer {
    readonly tcId: number;
    readonly testPassed: boolean;
    readonly pk: string;
    readonly message: string;
    readonly context: string;
    readonly signature: string;
  }

  test('pure signatures with a context verify exactly where NIST says so (45 of 180 cases)', async () => {
    const cases = readCases<SigVerGroup>('acvp/ML-DSA-sigVer-FIPS204_internalProjection.json.gz', ({ group }) => {
      if (group.signatureInterface === 'internal') return 'node has no call for the internal interface: it takes M\' or mu';
      return group.preHash === 'pure' ? 'ours' : 'HashML-DSA is not an algorithm of the service';
    }, {
      ours: 45,
      'HashML-DSA is not an algorithm of the service': 45,
      'node has no call for the internal interface: it takes M\' or mu': 90,
    });
    const wrong: number[] = [];
    for (const { group, item } of cases.filter(({ way }) => way === 'ours')) {
      const scheme = signatureSchemes[group.parameterSet as 'ML-DSA-44' | 'ML-DSA-65' | 'ML-DSA-87'];
      const ok = await publicKeys.verify(scheme, { alg: scheme.wireAlg, bytes: hex(item.pk) }, hex(item.message), hex(item.context), hex(item.signature));
      if (ok !== item.testPassed) wrong.push(item.tcId);
    }
    expect(wrong).toEqual([]);
  });
});

describePublished('NIST ACVP, ML-KEM (FIPS 203)', () => {
  test('a seed d || z makes the published encapsulation key of ML-KEM-768 and ML-KEM-1024 (50 of 75 cases; ML-KEM-512 is not offered)', () => {
    const cases = readKeyGen('acvp/ML-KEM-keyGen-FIPS203', { 'ML-KEM-512': 25, 'ML-KEM-768': 25, 'ML-KEM-1024': 25 });
    for (const { parameterSet, seed, publicKey } of cases.filter(({ parameterSet }) => parameterSet !== 'ML-KEM-512')) {
      expect(kems[parameterSet as KemName].fromSeed(seed).publicBytes).toEqual(publicKey);
    }
  });

  interface EncapDecapGroup extends Group<EncapDecap> {
    readonly function: 'encapsulation' | 'decapsulation' | 'decapsulationKeyCheck' | 'encapsulationKeyCheck';
  }
  interface EncapDecap {
    readonly tcId: number;
    readonly testPassed?: boolean;
    readonly ek: string;
    readonly dk: string;
    readonly c?: string;
    readonly k?: string;
  }
  /** Our code takes a private key as its 64-byte seed, which no expanded `dk` gives back, and draws `m` itself. */
  const wayOf = ({ group }: { group: EncapDecapGroup }): string => {
    if (group.parameterSet === 'ML-KEM-512') return 'ML-KEM-512 is not offered';
    if (group.function === 'encapsulationKeyCheck') return 'ours';
    return group.function === 'encapsulation' ? 'm cannot be chosen: OpenSSL only, by opening c' : 'no seed, an expanded dk: OpenSSL only';
  };
  const readEncapDecap = () => readCases('acvp/ML-KEM-encapDecap-FIPS203_internalProjection.json.gz', wayOf, {
    ours: 20,
    'ML-KEM-512 is not offered': 55,
    'm cannot be chosen: OpenSSL only, by opening c': 50,
    'no seed, an expanded dk: OpenSSL only': 40,
  });

  test('an encapsulation key whose values are too large is refused, a sound one is taken (20 of 165 cases)', () => {
    for (const { group, item } of readEncapDecap().filter(({ way }) => way === 'ours')) {
      const seal = () => kems[group.parameterSet as KemName].encapsulate(hex(item.ek));
      if (item.testPassed === true) expect(seal().sharedSecret).toHaveLength(32);
      else expect(seal).toThrow();
    }
  });

  test('the primitive beneath our code opens every published encapsulation, and refuses a private key whose hash is wrong (90 cases)', () => {
    const cases = readEncapDecap().filter(({ way }) => way.includes('OpenSSL only'));
    for (const { group, item } of cases) {
      const importKey = () => createPrivateKey({ key: expandedPkcs8(group.parameterSet, hex(item.dk)), format: 'der', type: 'pkcs8' });
      if (item.testPassed === false) expect(importKey).toThrow();
      else if (item.c === undefined) expect(importKey().asymmetricKeyType).toBe(group.parameterSet.toLowerCase());
      else expect(decapsulate(importKey(), hex(item.c))).toEqual(hex(item.k ?? ''));
    }
  });
});

describePublished('NIST ACVP, EdDSA', () => {
  interface EddsaGroup {
    readonly curve: 'ED-25519' | 'ED-448';
    readonly preHash: boolean;
    readonly tests: readonly Eddsa[];
  }
  interface Eddsa {
    readonly tcId: number;
    readonly testPassed: boolean;
    readonly message: string;
    readonly q: string;
    readonly signature: string;
  }

  test('Ed25519 signatures verify exactly where NIST says so (5 of 20 cases; Ed25519ph and Ed448 are not offered)', async () => {
    const cases = readCases<EddsaGroup>('acvp/EDDSA-SigVer-1.0_internalProjection.json.gz', ({ group }) => `${group.curve}${group.preHash ? ' prehashed' : ''}`, { 'ED-25519': 5, 'ED-25519 prehashed': 5, 'ED-448': 5, 'ED-448 prehashed': 5 });
    for (const { item } of cases.filter(({ way }) => way === 'ED-25519')) {
      const ok = await publicKeys.verify(signatureSchemes.Ed25519, { alg: 'ed25519', bytes: hex(item.q) }, hex(item.message), EMPTY, hex(item.signature));
      expect({ tcId: item.tcId, ok }).toEqual({ tcId: item.tcId, ok: item.testPassed });
    }
  });
});

/** PKCS #8 around an expanded decapsulation key: the `expandedKey` choice of RFC 9935 §6. */
function expandedPkcs8(parameterSet: string, dk: Buffer): Buffer {
  const oid = hex(parameterSet === 'ML-KEM-768' ? '0609608648016503040402' : '0609608648016503040403');
  return der(0x30, hex('020100'), der(0x30, oid), der(0x04, der(0x04, dk)));
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length = content.length < 0x80 ? Buffer.of(content.length) : Buffer.of(0x82, content.length >> 8, content.length & 0xff);
  return Buffer.concat([Buffer.of(tag), length, content]);
}
