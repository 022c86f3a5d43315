import type { VersionRecord } from '../../src/core/key/record.ts';
import type { Custody } from '../../src/ports/custody.ts';
import type { PublicKeys } from '../../src/ports/public-keys.ts';
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { algNames, specsOf } from '../../src/core/algorithm/table.ts';
import { encodeEnvelope, envelopeHeader, parseEnvelope } from '../../src/core/envelope/envelope.ts';

export interface CustodyUnderTest {
  readonly custody: Custody;
  readonly publicKeys: PublicKeys;
}

const NOTHING = Buffer.alloc(0);

/** What every custody has to do; each backend's test runs the same suite. */
export function custodyContract(name: string, open: () => Promise<CustodyUnderTest>): void {
  describe(`custody ${name}`, () => {
    const specs = algNames.flatMap((alg) => specsOf(alg).map((spec) => ({ alg, spec, of: `${alg} ${spec.kind === 'signature' ? spec.schemes.map((scheme) => scheme.name).join('+') : ''}` })));
    let count = 0;
    const kidOf = (alg: string): string => `core/contract/${alg}/01890000-0000-7000-8000-${String(++count).padStart(12, '0')}#v1`;
    const make = async ({ custody }: CustodyUnderTest, { alg, spec }: (typeof specs)[number]): Promise<VersionRecord> => {
      const kid = kidOf(alg);
      return { version: 1, kid, kidHash: '', state: 'enabled', createdAtMs: 0, ...(await custody.generate(kid, spec)) };
    };

    test.each(specs.filter(({ spec }) => spec.kind === 'signature'))('signs with $of, and what it signed verifies with the public part alone', async (row) => {
      const under = await open();
      const version = await make(under, row);
      if (row.spec.kind !== 'signature') throw new Error('filtered above');
      const message = randomBytes(99);
      const signatures = await under.custody.sign(version, row.spec.schemes, message, NOTHING);
      for (const [i, scheme] of row.spec.schemes.entries()) {
        const part = version.publicParts[i];
        const signature = signatures[i];
        if (part === undefined || signature === undefined) throw new Error('a part for each scheme');
        expect(part.bytes.length).toBe(scheme.publicBytes);
        expect(signature.length).toBe(scheme.signatureBytes);
        expect(await under.publicKeys.verify(scheme, part, message, NOTHING, signature)).toBe(true);
        expect(await under.publicKeys.verify(scheme, part, randomBytes(99), NOTHING, signature)).toBe(false);
        expect(await under.publicKeys.verify(scheme, part, message, NOTHING, signature.subarray(1))).toBe(false);
      }
    });

    test.each(specs.filter(({ spec }) => spec.kind !== 'signature'))('opens what was sealed to $of, and nothing else', async (row) => {
      const under = await open();
      const version = await make(under, row);
      const aad = randomBytes(7);
      const plaintext = randomBytes(32);
      const wrapped = await seal(under, version, row.spec, aad, plaintext);
      expect(await under.custody.open(version, row.spec, parseEnvelope(wrapped), aad)).toEqual(plaintext);
      expect(await under.custody.open(version, row.spec, parseEnvelope(wrapped), NOTHING)).toBeUndefined();
      const flipped = Buffer.from(wrapped);
      flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1;
      expect(await under.custody.open(version, row.spec, parseEnvelope(flipped), aad)).toBeUndefined();
    });

    test('never makes the same key twice, and no part serves in two keys', async () => {
      const under = await open();
      const parts: string[] = [];
      for (const row of [...specs, ...specs]) for (const part of (await make(under, row)).publicParts) parts.push(part.bytes.toString('hex').slice(0, 64), part.bytes.toString('hex').slice(-64));
      expect(new Set(parts).size).toBeGreaterThan(parts.length / 2);
      const whole = parts.filter((_, i) => i % 2 === 0);
      expect(new Set(whole).size).toBe(whole.length);
    });

    test('an erased version is gone for signing, and erasing it again is no error', async () => {
      const under = await open();
      const row = specs.find(({ alg }) => alg === 'ed25519');
      if (row?.spec.kind !== 'signature') throw new Error('ed25519 signs');
      const version = await make(under, row);
      await under.custody.erase(version);
      await expect(under.custody.sign(version, row.spec.schemes, randomBytes(8), NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
      await under.custody.erase(version);
    });
  });
}

async function seal({ custody, publicKeys }: CustodyUnderTest, version: VersionRecord, spec: ReturnType<typeof specsOf>[number], aad: Buffer, plaintext: Buffer): Promise<Buffer> {
  if (spec.kind === 'aead') {
    const header = envelopeHeader(version.kid, undefined, spec.aead);
    const nonce = Buffer.from('000000000000000000000001', 'hex');
    return encodeEnvelope(header, nonce, await custody.sealAead(version, spec.aead, nonce, Buffer.concat([header, aad]), plaintext));
  }
  const part = version.publicParts[0];
  if (spec.kind !== 'kem' || part === undefined) throw new Error('a KEM key has a public part');
  const aead = { kind: 'aead', name: 'ChaCha20-Poly1305', wireAlg: 'chacha20-poly1305', aeadId: 3, cipher: 'chacha20-poly1305' } as const;
  const header = envelopeHeader(version.kid, spec.kem, aead);
  const { enc, ciphertext } = publicKeys.seal(spec.kem, aead, part, header, aad, plaintext);
  return encodeEnvelope(header, enc, ciphertext);
}
