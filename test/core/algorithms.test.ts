import { describe, expect, test } from 'vitest';
import type { Alg, KeySpec } from '../../src/core/algorithm/table.ts';
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, AEAD_TAG_BYTES, aeads, algNames, defaultAlg, isAlg, isAllowed, kems, parameterSetOf, satisfiesPostQuantum, signatureSchemes, specOf, specsOf } from '../../src/core/algorithm/table.ts';
import { specOfVersion } from '../../src/core/key/spec-of-version.ts';

/** What the wire, a kid and the standards say; written here again so that no slip of the table goes unseen. */
const KEYS: readonly (readonly [alg: Alg, families: string, madeOf: readonly (readonly [parameterSet: string | undefined, parts: string, resists: boolean])[]])[] = [
  ['ed25519', 'ed25519', [[undefined, 'Ed25519', false]]],
  ['ml-dsa', 'ml-dsa', [['ML-DSA-65', 'ML-DSA-65', true], ['ML-DSA-44', 'ML-DSA-44', true], ['ML-DSA-87', 'ML-DSA-87', true]]],
  ['ed25519+ml-dsa', 'ed25519 ml-dsa', [['ML-DSA-65', 'Ed25519 ML-DSA-65', true], ['ML-DSA-44', 'Ed25519 ML-DSA-44', true], ['ML-DSA-87', 'Ed25519 ML-DSA-87', true]]],
  ['mldsa65-ed25519-sha512', 'ed25519 ml-dsa', [[undefined, 'MLDSA65-Ed25519-SHA512', true]]],
  ['x25519', 'x25519', [[undefined, 'X25519', false]]],
  ['ml-kem', 'ml-kem', [['ML-KEM-768', 'ML-KEM-768', true], ['ML-KEM-1024', 'ML-KEM-1024', true]]],
  ['x25519+ml-kem', 'x25519 ml-kem', [[undefined, 'X-Wing', true]]],
  ['aes-256-gcm', 'aes-256-gcm', [[undefined, 'AES-256-GCM', true]]],
  ['chacha20-poly1305', 'chacha20-poly1305', [[undefined, 'ChaCha20-Poly1305', true]]],
];

/** FIPS 204 table 2, RFC 8032 §5.1, draft-ietf-lamps-pq-composite-sigs-19 §4: bytes of a public key and of a signature. */
const SIGNATURES = [
  ['Ed25519', 'ed25519', undefined, 32, 64, 'classical'],
  ['ML-DSA-44', 'ml-dsa', 'ML-DSA-44', 1312, 2420, 'post-quantum with context'],
  ['ML-DSA-65', 'ml-dsa', 'ML-DSA-65', 1952, 3309, 'post-quantum with context'],
  ['ML-DSA-87', 'ml-dsa', 'ML-DSA-87', 2592, 4627, 'post-quantum with context'],
  ['MLDSA65-Ed25519-SHA512', 'mldsa65-ed25519-sha512', undefined, 1952 + 32, 3309 + 64, 'classical post-quantum with context'],
] as const;

/** RFC 9180 §7.1 and the IANA registry, FIPS 203 table 3, draft-connolly-cfrg-xwing-kem: bytes of a public key and of what is encapsulated. */
const KEMS = [
  ['X25519', 'x25519', undefined, 0x0020, 32, 32, 'classical'],
  ['ML-KEM-768', 'ml-kem', 'ML-KEM-768', 0x0041, 1184, 1088, 'pq'],
  ['ML-KEM-1024', 'ml-kem', 'ML-KEM-1024', 0x0042, 1568, 1568, 'pq'],
  ['X-Wing', 'x25519+ml-kem', undefined, 0x647a, 1184 + 32, 1088 + 32, 'hybrid'],
] as const;

function partsOf(spec: KeySpec): string {
  if (spec.kind === 'signature') return spec.schemes.map(({ name }) => name).join(' ');
  return spec.kind === 'kem' ? spec.kem.name : spec.aead.name;
}

describe('the algorithms', () => {
  test('are these and no others', () => {
    expect(algNames).toEqual(KEYS.map(([alg]) => alg));
    for (const name of algNames) expect(isAlg(name)).toBe(true);
    for (const name of ['', 'rsa', 'Ed25519', 'ED25519', 'ed25519 ', 'constructor', '__proto__', 'toString', 'ML-DSA-65', 'ml-dsa+ed25519']) expect(isAlg(name)).toBe(false);
  });

  test.each(KEYS)('%s is made of what its name says, and is allowed only with all of %s', (alg, families, madeOf) => {
    expect(specsOf(alg).map(partsOf)).toEqual(madeOf.map(([, parts]) => parts));
    for (const [parameterSet, parts, resists] of madeOf) {
      expect(partsOf(specOf(alg, parameterSet))).toBe(parts);
      expect(satisfiesPostQuantum(specOf(alg, parameterSet))).toBe(resists);
    }
    const needed = families.split(' ');
    const all = [...new Set(KEYS.flatMap(([, each]) => each.split(' ')))];
    expect(isAllowed(alg, new Set(needed))).toBe(true);
    expect(isAllowed(alg, new Set(all))).toBe(true);
    for (const family of needed) expect(isAllowed(alg, new Set(all.filter((other) => other !== family)))).toBe(false);
  });

  test.each(KEYS)('%s gets the parameter set that is asked for, else its default; one that it has not is refused', (alg, _families, madeOf) => {
    const sets = madeOf.map(([parameterSet]) => parameterSet);
    expect(parameterSetOf(alg, undefined)).toEqual({ ok: true, parameterSet: sets[0] });
    for (const asked of ['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87', 'ML-KEM-768', 'ML-KEM-1024', 'ml-dsa-65', '', 'constructor']) {
      expect(parameterSetOf(alg, asked)).toEqual({ ok: sets.includes(asked), parameterSet: asked });
    }
    expect(() => specOf(alg, 'ML-DSA-45')).toThrow('no such parameter set');
  });

  test.each(SIGNATURES)('signatures of %s have the wire name, the lengths and the ground of their standard', (name, wireAlg, parameterSet, publicBytes, signatureBytes, rests) => {
    expect(signatureSchemes[name]).toEqual({
      kind: 'signature', name, wireAlg, ...(parameterSet !== undefined && { parameterSet }), publicBytes, signatureBytes,
      classical: rests.includes('classical'), postQuantum: rests.includes('post-quantum'), hasContext: rests.includes('context'),
    });
  });

  test.each(KEMS)('%s has the wire name, the number and the lengths of its standard', (name, wireAlg, parameterSet, kemId, publicBytes, encapsulatedBytes, mode) => {
    expect(kems[name]).toEqual({ kind: 'kem', name, wireAlg, ...(parameterSet !== undefined && { parameterSet }), kemId, publicBytes, encapsulatedBytes, postQuantum: mode !== 'classical', mode });
  });

  test('both ciphers have the numbers of RFC 9180 §7.3 and the sizes that they share', () => {
    expect(aeads).toEqual({
      'AES-256-GCM': { kind: 'aead', name: 'AES-256-GCM', wireAlg: 'aes-256-gcm', aeadId: 2, cipher: 'aes-256-gcm' },
      'ChaCha20-Poly1305': { kind: 'aead', name: 'ChaCha20-Poly1305', wireAlg: 'chacha20-poly1305', aeadId: 3, cipher: 'chacha20-poly1305' },
    });
    expect([AEAD_KEY_BYTES, AEAD_NONCE_BYTES, AEAD_TAG_BYTES]).toEqual([32, 12, 16]);
  });
});

test('a key for which no algorithm is asked is hybrid: it wraps when its purpose begins with kem or wrap, and signs else', () => {
  expect(['kem', 'kem-tls', 'wrap', 'wrapping', 'wrap.disk'].map(defaultAlg)).toEqual(Array.from({ length: 5 }, () => 'x25519+ml-kem'));
  expect(['audit', 'release', 'unwrap', 'my-kem', 'ke', 'wra', 'key-wrap', ''].map(defaultAlg)).toEqual(Array.from({ length: 8 }, () => 'ed25519+ml-dsa'));
});

describe('a version of a key', () => {
  const UUID = '01932c07-2b4e-7c55-9a2f-0123456789ab';
  const bytes = Buffer.alloc(1);

  test('is of the parameter set that its public parts have, whichever of them has it, and of the default where none has', () => {
    const hybrid = `core/audit/ed25519+ml-dsa/${UUID}#v1`;
    expect(partsOf(specOfVersion({ kid: hybrid, publicParts: [{ alg: 'ed25519', bytes }, { alg: 'ml-dsa', parameterSet: 'ML-DSA-87', bytes }] }))).toBe('Ed25519 ML-DSA-87');
    expect(partsOf(specOfVersion({ kid: `core/audit/ed25519/${UUID}#v1`, publicParts: [{ alg: 'ed25519', bytes }] }))).toBe('Ed25519');
    expect(partsOf(specOfVersion({ kid: `core/wrap/aes-256-gcm/${UUID}#v1`, publicParts: [] }))).toBe('AES-256-GCM');
  });

  test('with a kid that is none is no version: nothing is made up for it', () => {
    expect(() => specOfVersion({ kid: 'core/audit', publicParts: [] })).toThrow('a record has a kid');
  });
});
