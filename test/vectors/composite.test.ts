import { expect, test } from 'vitest';
import type { SignatureScheme } from '../../src/core/algorithm/table.ts';
import { signatureSchemes } from '../../src/core/algorithm/table.ts';
import { createOurPrimitives } from './our-primitives.ts';
import { describePublished, readPublished, tally } from './published.ts';

const { primitives: { signatures }, publicKeys } = createOurPrimitives();

/** The ids of the draft that the service offers; `sk` is the seeds as our custody takes them, ML-DSA's first. */
const offered: Readonly<Record<string, SignatureScheme>> = {
  'id-ML-DSA-44': signatureSchemes['ML-DSA-44'],
  'id-ML-DSA-65': signatureSchemes['ML-DSA-65'],
  'id-MLDSA65-Ed25519-SHA512': signatureSchemes['MLDSA65-Ed25519-SHA512'],
};

interface Composite {
  readonly m: string;
  readonly ctx: string;
  readonly tests: readonly { readonly tcId: string; readonly pk: string; readonly sk: string; readonly s: string; readonly sWithContext: string }[];
}

describePublished('draft-ietf-lamps-pq-composite-sigs-19', () => {
  const file = readPublished('composite/mldsa-ed25519.json') as Composite;
  const message = base64(file.m);
  const context = base64(file.ctx);
  const none = Buffer.alloc(0);
  const cases = file.tests.flatMap((item) => {
    const scheme = offered[item.tcId];
    return scheme === undefined ? [] : [{ ...item, scheme, part: { alg: scheme.wireAlg, bytes: base64(item.pk) } }];
  });

  test('3 of the 4 published algorithms are ours; id-MLDSA44-Ed25519-SHA512 is not offered', () => {
    expect(tally(file.tests, ({ tcId }) => tcId)).toEqual({ 'id-ML-DSA-44': 1, 'id-ML-DSA-65': 1, 'id-MLDSA44-Ed25519-SHA512': 1, 'id-MLDSA65-Ed25519-SHA512': 1 });
    expect(cases).toHaveLength(3);
    expect([message.length, context.length]).toEqual([44, 71]);
  });

  test('the published signatures verify, with and without context, and under no other context or message', async () => {
    for (const { scheme, part, s, sWithContext } of cases) {
      expect(await publicKeys.verify(scheme, part, message, none, base64(s))).toBe(true);
      expect(await publicKeys.verify(scheme, part, message, context, base64(sWithContext))).toBe(true);
      expect(await publicKeys.verify(scheme, part, message, context, base64(s))).toBe(false);
      expect(await publicKeys.verify(scheme, part, message, none, base64(sWithContext))).toBe(false);
      expect(await publicKeys.verify(scheme, part, Buffer.concat([message, Buffer.of(0)]), none, base64(s))).toBe(false);
    }
  });

  test('the published seeds make the published public key, and what they sign here verifies', async () => {
    for (const { scheme, part, sk } of cases) {
      const signer = signatures[scheme.name].signerFromSeed(base64(sk));
      expect(signer.publicBytes).toEqual(part.bytes);
      for (const chosen of [none, context]) {
        const signature = await signer.sign(message, chosen);
        expect(signature).toHaveLength(scheme.signatureBytes);
        expect(await publicKeys.verify(scheme, part, message, chosen, signature)).toBe(true);
      }
    }
  });

  test('a composite signature with either half replaced by a valid one of another message is refused', async () => {
    const composite = cases.find(({ tcId }) => tcId === 'id-MLDSA65-Ed25519-SHA512');
    if (composite === undefined) throw new Error('the composite is not among the vectors');
    const { scheme, part, sk, s } = composite;
    const whole = base64(s);
    const other = await signatures[scheme.name].signerFromSeed(base64(sk)).sign(Buffer.from('another'), none);
    const halves = [Buffer.concat([whole.subarray(0, 3309), other.subarray(3309)]), Buffer.concat([other.subarray(0, 3309), whole.subarray(3309)])];
    for (const signature of halves) expect(await publicKeys.verify(scheme, part, message, none, signature)).toBe(false);
  });
});

function base64(text: string): Buffer {
  return Buffer.from(text, 'base64');
}
