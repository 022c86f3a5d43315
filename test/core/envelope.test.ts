import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Aead, Alg, Kem, KeySpec } from '../../src/core/algorithm/table.ts';
import { aeads, algNames, specsOf } from '../../src/core/algorithm/table.ts';
import { encodeEnvelope, ENVELOPE_BYTES_MAX, envelopeHeader, parseEnvelope, PLAINTEXT_BYTES_MAX, suits } from '../../src/core/envelope/envelope.ts';
import { KmsError } from '../../src/core/errors.ts';
import { kidBase, kidText } from '../../src/core/key/kid.ts';

/** Every suite that an envelope can have, with what each key of it is. */
interface Suite {
  readonly alg: Alg;
  readonly spec: KeySpec;
  readonly kem: Kem | undefined;
  readonly aead: Aead;
  readonly encBytes: number;
}

const suites = algNames.flatMap((alg) => specsOf(alg).flatMap((spec): readonly Suite[] => {
  if (spec.kind === 'signature') return [];
  if (spec.kind === 'aead') return [{ alg, spec, kem: undefined, aead: spec.aead, encBytes: 12 }];
  return Object.values(aeads).map((aead) => ({ alg, spec, kem: spec.kem, aead, encBytes: spec.kem.encapsulatedBytes }));
}));

const made = fc.record({
  suite: fc.constantFrom(...suites),
  tenant: fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/), purpose: fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/),
  uuid: fc.uuid({ version: 7 }), version: fc.integer({ min: 1, max: 999_999_999 }),
  plaintextBytes: fc.oneof(fc.constantFrom(1, PLAINTEXT_BYTES_MAX), fc.integer({ min: 1, max: PLAINTEXT_BYTES_MAX })), fill: fc.nat(255),
}).map(({ suite, tenant, purpose, uuid, version, plaintextBytes, fill }) => {
  const kid = kidText(kidBase(tenant, purpose, suite.alg, uuid), version);
  const header = envelopeHeader(kid, suite.kem, suite.aead);
  const enc = Buffer.alloc(suite.encBytes, fill);
  const ciphertext = Buffer.alloc(plaintextBytes + 16, fill ^ 0xff);
  return { suite, kid, header, enc, ciphertext, bytes: encodeEnvelope(header, enc, ciphertext) };
});

/** The envelope, or that it was refused; any other fault is thrown. */
function parsed(bytes: Buffer): ReturnType<typeof parseEnvelope> | 'UnwrapFailed' {
  try {
    return parseEnvelope(bytes);
  } catch (fault) {
    if (fault instanceof KmsError && fault.code === 'UnwrapFailed') return fault.code;
    throw fault;
  }
}

describe('an envelope', () => {
  test('of any suite and any kid is parsed to the parts it was made of, up to a plaintext of 4,096 bytes', () => {
    fc.assert(fc.property(made, ({ suite, kid, header, enc, ciphertext, bytes }) => {
      const envelope = parseEnvelope(bytes);
      expect(kidText(envelope.kid.base, envelope.kid.version)).toBe(kid);
      expect(envelope.aead).toBe(suite.aead);
      expect([envelope.header, envelope.enc, envelope.ciphertext]).toEqual([header, enc, ciphertext]);
      expect(bytes.length).toBeLessThanOrEqual(ENVELOPE_BYTES_MAX);
    }));
  });

  test('suits the key it names and no key of another suite', () => {
    fc.assert(fc.property(made, ({ suite, bytes }) => {
      const fitting = suites.filter(({ spec }) => suits(parseEnvelope(bytes), spec));
      expect(new Set(fitting.map(({ spec }) => spec))).toEqual(new Set([suite.spec]));
    }));
  });

  test('cut short before the first byte of its ciphertext is refused wherever the cut falls', () => {
    fc.assert(fc.property(made, fc.nat(), ({ header, enc, bytes }, at) => {
      const withoutPlaintext = header.length + enc.length + 16;
      for (const length of [at % withoutPlaintext, withoutPlaintext]) expect(parsed(bytes.subarray(0, length))).toBe('UnwrapFailed');
      expect(parsed(bytes.subarray(0, withoutPlaintext + 1))).not.toBe('UnwrapFailed');
    }));
  });

  test('with any byte of its header changed is refused, or says so itself: it never parses to the same header', () => {
    fc.assert(fc.property(made, fc.nat(), fc.integer({ min: 1, max: 255 }), ({ header, bytes }, at, change) => {
      const changed = Buffer.from(bytes);
      const place = at % header.length;
      changed.writeUInt8(changed.readUInt8(place) ^ change, place);
      const envelope = parsed(changed);
      if (envelope === 'UnwrapFailed') return;
      expect(envelope.header).not.toEqual(header);
      expect(encodeEnvelope(envelope.header, envelope.enc, envelope.ciphertext)).toEqual(changed);
    }), { numRuns: 500 });
  });

  test('of bytes that nobody sealed is refused, whatever they are, or is made of exactly those bytes', () => {
    const head = fc.constantFrom('', 'RKW', 'RKW\x01', 'RKW\x01\x00\x20\x00\x01\x00\x03', 'RKW\x01\x00\x00\x00\x00\x00\x02\x00\x3c').map((text) => Buffer.from(text, 'latin1'));
    fc.assert(fc.property(head, fc.uint8Array({ maxLength: 400 }), (start, rest) => {
      const bytes = Buffer.concat([start, rest]);
      const envelope = parsed(bytes);
      if (envelope !== 'UnwrapFailed') expect(encodeEnvelope(envelope.header, envelope.enc, envelope.ciphertext)).toEqual(bytes);
    }), { numRuns: 1000 });
  });

  test('longer than any that can be sealed is refused', () => {
    fc.assert(fc.property(made, ({ header, enc }) => {
      expect(parsed(encodeEnvelope(header, enc, Buffer.alloc(ENVELOPE_BYTES_MAX)))).toBe('UnwrapFailed');
    }), { numRuns: 10 });
  });

  test('suits no key that signs', () => {
    const signing = algNames.flatMap((alg) => specsOf(alg)).filter(({ kind }) => kind === 'signature');
    expect(signing.length).toBeGreaterThan(0);
    fc.assert(fc.property(made, ({ bytes }) => {
      for (const spec of signing) expect(suits(parseEnvelope(bytes), spec)).toBe(false);
    }), { numRuns: 10 });
  });

  test('with a plaintext of 4,097 bytes is refused, however short the rest is', () => {
    fc.assert(fc.property(made, ({ header, enc }) => {
      const sealed = (plaintextBytes: number): Buffer => encodeEnvelope(header, enc, Buffer.alloc(plaintextBytes + 16));
      expect([parsed(sealed(PLAINTEXT_BYTES_MAX)) === 'UnwrapFailed', parsed(sealed(PLAINTEXT_BYTES_MAX + 1))]).toEqual([false, 'UnwrapFailed']);
    }));
  });

  test('with a KEM or a KDF that the algorithm of its kid does not have is refused', () => {
    fc.assert(fc.property(made, fc.constantFrom([4, 0], [4, 0x20], [4, 0x41], [4, 0x42], [4, 0x647a], [6, 0], [6, 1], [6, 2]), ({ suite, bytes }, [at = 0, id = 0]) => {
      const changed = Buffer.from(bytes);
      changed.writeUInt16BE(id, at);
      const fitting = at === 6 ? [suite.kem === undefined ? 0 : 1] : suites.filter(({ alg }) => alg === suite.alg).map(({ kem }) => kem?.kemId ?? 0);
      if (!fitting.includes(id)) expect(parsed(changed)).toBe('UnwrapFailed');
    }), { numRuns: 300 });
  });
});
