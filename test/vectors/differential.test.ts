/**
 * Our native code against the second opinions, for every algorithm of the table. AEADs are held against
 * noble's; where WebCrypto stands behind panva's hpke, its primitives are OpenSSL's too, so for those the
 * composition is what is compared, and noble compares the primitives.
 */
import * as fc from 'fast-check';
import * as hpke from 'hpke';
import { describe, expect, test } from 'vitest';
import type { Kem, SignatureScheme } from '../../src/core/algorithm/table.ts';
import { aeads, algNames, specsOf } from '../../src/core/algorithm/table.ts';
import { encodeEnvelope, envelopeHeader, parseEnvelope, suits } from '../../src/core/envelope/envelope.ts';
import { aeadOpen, aeadSeal, hpkeOpen } from '../../src/core/envelope/hpke.ts';
import { kidBase, kidText } from '../../src/core/key/kid.ts';
import { deriveMacaroonKey, mint } from '../../src/core/macaroon/chain.ts';
import { encodeToken } from '../../src/core/macaroon/codec.ts';
import { createOurPrimitives } from './our-primitives.ts';
import { aeadPeers, kemPeers, signaturePeers } from './second-opinion.ts';
import { mintSlowly, readEnvelopeSlowly, slowHeader, writeEnvelopeSlowly } from './slow-formats.ts';

const { primitives: { signatures, kems }, publicKeys } = createOurPrimitives();

const specs = algNames.flatMap((alg) => specsOf(alg).map((spec) => ({ alg, spec })));
const signatureCases = specs.flatMap(({ alg, spec }) => (spec.kind === 'signature' ? spec.schemes.map((scheme) => ({ alg, scheme })) : []));
const kemCases = specs.flatMap(({ alg, spec }) => (spec.kind === 'kem' ? Object.values(aeads).map((aead) => ({ alg, kem: spec.kem, aead, spec })) : []));
const aeadCases = specs.flatMap(({ alg, spec }) => (spec.kind === 'aead' ? [{ alg, aead: spec.aead, spec }] : []));

/** noble signs ML-DSA in tens of milliseconds. */
const SLOW_RUNS = 8;
const RUNS = 20;

const bytes = (lengthMin: number, lengthMax = lengthMin) => fc.uint8Array({ minLength: lengthMin, maxLength: lengthMax }).map((array) => Buffer.from(array));

function flipBit(original: Uint8Array, at: number): Buffer {
  const flipped = Buffer.from(original);
  const bit = at % (flipped.length * 8);
  flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return flipped;
}

test('the table has 11 signing parts, 8 suites that wrap to a public key and 2 symmetric keys to compare', () => {
  expect([signatureCases.length, kemCases.length, aeadCases.length]).toEqual([11, 8, 2]);
});

describe.each(signatureCases)('$scheme.name of $alg', ({ scheme }: { scheme: SignatureScheme }) => {
  const ours = signatures[scheme.name];
  const theirs = signaturePeers[scheme.name];
  const context = scheme.hasContext ? bytes(0, 255) : fc.constant(Buffer.alloc(0));
  const numRuns = scheme.postQuantum ? SLOW_RUNS : RUNS;

  test('what we sign verifies with another library and what it signs verifies with us, whatever the message and context; tampered with, it verifies nowhere', async () => {
    await fc.assert(fc.asyncProperty(bytes(ours.seedBytes), bytes(0, 300), context, fc.nat(), async (seed, message, ctx, at) => {
      const signer = ours.signerFromSeed(Buffer.from(seed));
      const part = { alg: scheme.wireAlg, bytes: signer.publicBytes };
      expect(Buffer.from(theirs.publicOf(seed))).toEqual(signer.publicBytes);
      const made = [await signer.sign(message, ctx), Buffer.from(theirs.sign(seed, message, ctx))];
      for (const signature of made) {
        const verdicts = async (over: Buffer, under: Buffer, of: Buffer): Promise<readonly boolean[]> =>
          [await publicKeys.verify(scheme, part, over, under, of), theirs.verify(part.bytes, over, under, of)];
        expect(await verdicts(message, ctx, signature)).toEqual([true, true]);
        expect(await verdicts(message, ctx, flipBit(signature, at))).toEqual([false, false]);
        expect(await verdicts(Buffer.concat([message, Buffer.of(0)]), ctx, signature)).toEqual([false, false]);
        if (scheme.hasContext && ctx.length < 255) expect(await verdicts(message, Buffer.concat([ctx, Buffer.of(0)]), signature)).toEqual([false, false]);
      }
    }), { numRuns });
  });
});

describe.each(kemCases)('$kem.name with $aead.name', ({ alg, kem, aead, spec }) => {
  const suite = new hpke.CipherSuite(kemPeers[kem.name].hpkeKem, hpke.KDF_HKDF_SHA256, aeadPeers[aead.name].hpkeAead);
  const kid = kidText(kidBase('core', 'wrap', alg, '01932c07-2b4e-7c55-9a2f-0123456789ab'), 7);
  const input = [bytes(kems[kem.name].seedBytes), bytes(0, 100), bytes(1, 200), fc.nat()] as const;

  test('a key that we wrap opens with another HPKE and a reader of the format page, and not once it is tampered with', async () => {
    await fc.assert(fc.asyncProperty(...input, async (seed, aad, plaintext, at) => {
      const { publicBytes } = kems[kem.name].fromSeed(Buffer.from(seed));
      const header = envelopeHeader(kid, kem, aead);
      const sealed = publicKeys.seal(kem, aead, { alg, bytes: publicBytes }, header, aad, plaintext);
      const envelope = readEnvelopeSlowly(encodeEnvelope(header, sealed.enc, sealed.ciphertext));
      expect(envelope.kid).toBe(kid);
      const key = await suite.DeserializePrivateKey(seed);
      const open = (ciphertext: Uint8Array) => suite.Open(key, envelope.enc, ciphertext, { info: envelope.header, aad });
      expect(Buffer.from(await open(envelope.ciphertext))).toEqual(plaintext);
      await expect(open(flipBit(envelope.ciphertext, at))).rejects.toThrow();
    }), { numRuns: SLOW_RUNS });
  });

  test('a key that another HPKE wraps opens with us, and not once any part of the envelope or the AAD is tampered with', async () => {
    await fc.assert(fc.asyncProperty(...input, async (seed, aad, plaintext, at) => {
      const key = kems[kem.name].fromSeed(Buffer.from(seed));
      const ids = { kid, kemId: kem.kemId, kdfId: 1, aeadId: aead.aeadId };
      const { encapsulatedSecret, ciphertext } = await suite.Seal(await suite.DeserializePublicKey(key.publicBytes), plaintext, { info: slowHeader(ids), aad });
      const open = (whole: Buffer, under: Buffer): Buffer | undefined => {
        const parsed = parseEnvelope(whole);
        const secret = suits(parsed, spec) ? key.decapsulate(parsed.enc) : undefined;
        return secret && hpkeOpen(kem, parsed.aead, secret, parsed.header, under, parsed.ciphertext);
      };
      const whole = writeEnvelopeSlowly({ ...ids, enc: encapsulatedSecret, ciphertext });
      expect(open(whole, aad)).toEqual(plaintext);
      expect(open(whole, Buffer.concat([aad, Buffer.of(0)]))).toBeUndefined();
      const afterHeader = slowHeader(ids).length;
      expect(open(Buffer.concat([whole.subarray(0, afterHeader), flipBit(whole.subarray(afterHeader), at)]), aad)).toBeUndefined();
    }), { numRuns: SLOW_RUNS });
  });
});

test.each(kemCases.filter(({ aead }) => aead === aeads['AES-256-GCM']).map(({ kem }) => kem))('$name: a shared secret that we encapsulate opens with noble, and one of noble\'s opens with us', (kem: Kem) => {
  fc.assert(fc.property(bytes(kems[kem.name].seedBytes), (seed) => {
    const key = kems[kem.name].fromSeed(Buffer.from(seed));
    const peer = kemPeers[kem.name];
    expect(Buffer.from(peer.publicOf(seed))).toEqual(key.publicBytes);
    const ours = kems[kem.name].encapsulate(key.publicBytes);
    expect(Buffer.from(peer.decapsulate(seed, ours.enc))).toEqual(ours.sharedSecret);
    const theirs = peer.encapsulate(key.publicBytes);
    expect(key.decapsulate(Buffer.from(theirs.enc))).toEqual(Buffer.from(theirs.sharedSecret));
  }), { numRuns: SLOW_RUNS });
});

describe.each(aeadCases)('$alg', ({ aead }) => {
  const peer = aeadPeers[aead.name];

  test('what we seal is what noble seals, each opens the other\'s, and neither opens it tampered with', () => {
    fc.assert(fc.property(bytes(32), bytes(12), bytes(0, 100), bytes(0, 300), fc.nat(), (key, nonce, aad, plaintext, at) => {
      const sealed = aeadSeal(aead, key, nonce, aad, plaintext);
      expect(Buffer.from(peer.seal(key, nonce, aad, plaintext))).toEqual(sealed);
      expect(Buffer.from(peer.open(key, nonce, aad, sealed))).toEqual(plaintext);
      expect(aeadOpen(aead, key, nonce, aad, sealed)).toEqual(plaintext);
      expect(() => peer.open(key, nonce, aad, flipBit(sealed, at))).toThrow();
      expect(aeadOpen(aead, key, nonce, aad, flipBit(sealed, at))).toBeUndefined();
      expect(aeadOpen(aead, key, nonce, Buffer.concat([aad, Buffer.of(0)]), sealed)).toBeUndefined();
      expect(aeadOpen(aead, key, flipBit(nonce, at), aad, sealed)).toBeUndefined();
    }), { numRuns: RUNS });
  });
});

describe('tokens', () => {
  /** Around the blocks of the hash, and of whatever buffers the chain uses. */
  const lengths = [0, 1, 31, 32, 55, 56, 63, 64, 65, 119, 120, 127, 128, 1023, 1024, 1025, 1088, 1089, 4096];
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.constantFrom(...lengths).map((length) => 'x'.repeat(length)));

  test('a token that we mint is, byte for byte, the one that the format page describes', () => {
    fc.assert(fc.property(bytes(1, 100), text, fc.array(text, { maxLength: 64 }), (secret, identifier, caveats) => {
      expect(encodeToken(mint(deriveMacaroonKey(secret), identifier, caveats))).toBe(mintSlowly(secret, identifier, caveats));
    }), { numRuns: RUNS, examples: [[Buffer.alloc(32, 7), 'i', lengths.map((length) => 'x'.repeat(length))]] });
  });
});
