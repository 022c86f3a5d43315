import { expect, test } from 'vitest';
import { signatureSchemes } from '../../src/core/algorithm/table.ts';
import { parseVerify } from '../../src/http/parse.ts';
import { createOurPrimitives } from './our-primitives.ts';
import { describePublished, hex, readCases, tally } from './published.ts';

const { primitives: { signatures }, publicKeys } = createOurPrimitives();
const EMPTY = Buffer.alloc(0);

interface Case {
  readonly tcId: number;
  readonly result: 'valid' | 'invalid';
  readonly msg?: string;
  readonly ctx?: string;
  readonly sig: string;
}

interface VerifyGroup {
  readonly publicKey: string;
  readonly tests: readonly Case[];
}

interface SignGroup extends VerifyGroup {
  readonly privateSeed: string;
}

const readVerify = () => readCases<VerifyGroup>(
  'wycheproof/mldsa_65_verify_test.json.gz',
  ({ item }) => (hex(item.ctx ?? '').length > 255 ? 'context too long' : item.result),
  { valid: 79, invalid: 126, 'context too long': 5 },
);

/** Our signatures are hedged, so no published signature comes out again: both are verified instead. */
const readSign = () => readCases<SignGroup>(
  'wycheproof/mldsa_65_sign_seed_test.json.gz',
  ({ item }) => (item.msg === undefined ? 'internal interface: no message, only mu' : item.result),
  { valid: 84, 'internal interface: no message, only mu': 17, invalid: 4 },
);

describePublished('Wycheproof, Ed25519', () => {
  test('all 151 signatures are taken or refused as published: malleable, truncated and non-canonical ones are refused', async () => {
    const cases = readCases<{ publicKey: { pk: string }; tests: readonly Case[] }>('wycheproof/ed25519_test.json.gz', ({ item }) => item.result, { valid: 88, invalid: 63 });
    const wrong: number[] = [];
    for (const { group, item } of cases) {
      const ok = await publicKeys.verify(signatureSchemes.Ed25519, { alg: 'ed25519', bytes: hex(group.publicKey.pk) }, hex(item.msg ?? ''), EMPTY, hex(item.sig));
      if (ok !== (item.result === 'valid')) wrong.push(item.tcId);
    }
    expect(wrong).toEqual([]);
  });
});

describePublished('Wycheproof, ML-DSA-65', () => {
  const scheme = signatureSchemes['ML-DSA-65'];

  test('205 of 210 signatures are taken or refused as published, wrong lengths of key and signature included', async () => {
    const wrong: number[] = [];
    for (const { group, item } of readVerify().filter(({ way }) => way === 'valid' || way === 'invalid')) {
      const ok = await publicKeys.verify(scheme, { alg: 'ml-dsa', bytes: hex(group.publicKey) }, hex(item.msg ?? ''), hex(item.ctx ?? ''), hex(item.sig));
      if (ok !== (item.result === 'valid')) wrong.push(item.tcId);
    }
    expect(wrong).toEqual([]);
  });

  test('the 5 signatures with a context of 256 bytes never get as far as a key: the request is refused', () => {
    for (const { item } of readVerify().filter(({ way }) => way === 'context too long')) {
      const body = {
        kid: 'core/audit/ml-dsa/01932c07-2b4e-7c55-9a2f-0123456789ab#v1',
        payload_b64: hex(item.msg ?? '').toString('base64'),
        context_b64: hex(item.ctx ?? '').toString('base64'),
        sigs: [{ alg: 'ml-dsa', signature_b64: hex(item.sig).toString('base64') }],
      };
      expect(() => parseVerify(body)).toThrow(expect.objectContaining({ code: 'BadRequest' }));
    }
  });

  test('a seed makes the published public key, the published signature verifies, and so does one of ours (84 of 105 cases, 17 more by key only)', async () => {
    for (const { group, item } of readSign().filter(({ way }) => way !== 'invalid')) {
      const signer = signatures['ML-DSA-65'].signerFromSeed(hex(group.privateSeed));
      expect(signer.publicBytes).toEqual(hex(group.publicKey));
      if (item.msg === undefined) continue;
      const part = { alg: 'ml-dsa', bytes: signer.publicBytes };
      const context = hex(item.ctx ?? '');
      const ours = await signer.sign(hex(item.msg), context);
      expect(await publicKeys.verify(scheme, part, hex(item.msg), context, ours)).toBe(true);
      expect(await publicKeys.verify(scheme, part, hex(item.msg), context, hex(item.sig))).toBe(true);
    }
  });

  test('a seed of the wrong length makes no key, and a context of 256 bytes no signature (4 cases)', async () => {
    const cases = readSign().filter(({ way }) => way === 'invalid');
    expect(tally(cases, ({ group }) => (hex(group.privateSeed).length === 32 ? 'context' : 'seed'))).toEqual({ context: 1, seed: 3 });
    for (const { group, item } of cases) {
      const sign = async () => signatures['ML-DSA-65'].signerFromSeed(hex(group.privateSeed)).sign(hex(item.msg ?? ''), hex(item.ctx ?? ''));
      await expect(sign()).rejects.toThrow();
    }
  });
});
