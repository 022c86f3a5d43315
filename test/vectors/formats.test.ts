import * as hpke from 'hpke';
import { describe, expect, test } from 'vitest';
import type { BundleVector, EnvelopeVector, RefusedEnvelope } from '../../scripts/make-vectors.ts';
import { makeVectors, readVectors } from '../../scripts/make-vectors.ts';
import { isAlg, specOf } from '../../src/core/algorithm/table.ts';
import { parseEnvelope, suits } from '../../src/core/envelope/envelope.ts';
import { aeadOpen, hpkeOpen } from '../../src/core/envelope/hpke.ts';
import { kidText } from '../../src/core/key/kid.ts';
import { readCaveats } from '../../src/core/macaroon/caveats.ts';
import { deriveMacaroonKey, verifyChain } from '../../src/core/macaroon/chain.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';
import { messageOf } from '../../src/core/payload.ts';
import { createOurPrimitives } from './our-primitives.ts';
import { hex, tally } from './published.ts';
import { aeadPeers, kemPeers, signaturePeers } from './second-opinion.ts';
import { mintSlowly, readEnvelopeSlowly } from './slow-formats.ts';

const { primitives: { signatures, kems }, publicKeys } = createOurPrimitives();
const frozen = readVectors();
const envelopes = frozen.envelope?.vectors ?? [];
const refused = frozen.envelope?.refused ?? [];
const bundles = frozen.bundle?.vectors ?? [];
const tokens = frozen.token?.vectors ?? [];

test('the published files are whole: 10 envelopes, 25 refused ones, 8 bundles, 3 tokens', () => {
  expect([envelopes, refused, bundles, tokens].map(({ length }) => length)).toEqual([10, 25, 8, 3]);
});

test('the script that made the published files makes the same again', async () => {
  expect(await makeVectors(frozen)).toEqual(frozen);
});

function specOfVector({ kid, parameter_set: parameterSet }: Pick<EnvelopeVector, 'kid' | 'parameter_set'>) {
  const alg = kid.split('/')[2] ?? '';
  if (!isAlg(alg)) throw new Error('a vector names an unknown algorithm');
  return specOf(alg, parameterSet);
}

/** As unwrap does it: parse, suite, crypto. */
function open(vector: EnvelopeVector, aad: Buffer, bytes: Buffer): Buffer | undefined {
  const spec = specOfVector(vector);
  const envelope = parseEnvelope(bytes);
  if (!suits(envelope, spec)) return undefined;
  const { aead, header, enc, ciphertext } = envelope;
  if (spec.kind === 'aead') return aeadOpen(aead, hex(vector.seed_hex), enc, Buffer.concat([header, aad]), ciphertext);
  if (spec.kind !== 'kem') throw new Error('a signing key opens nothing');
  const secret = kems[spec.kem.name].fromSeed(hex(vector.seed_hex)).decapsulate(enc);
  return secret && hpkeOpen(spec.kem, aead, secret, header, aad, ciphertext);
}

describe('docs/formats/vectors/envelope.json', () => {
  test.each(envelopes)('$name: opens to its key, and to nothing under other AAD', (vector) => {
    const { header, kid, aead } = parseEnvelope(hex(vector.envelope_hex));
    expect(kidText(kid.base, kid.version)).toBe(vector.kid);
    expect(aead.wireAlg).toBe(vector.aead);
    expect(header.toString('latin1', 12)).toBe(vector.kid);
    expect(open(vector, hex(vector.aad_hex), hex(vector.envelope_hex))).toEqual(hex(vector.plaintext_hex));
    expect(open(vector, hex(`${vector.aad_hex}00`), hex(vector.envelope_hex))).toBeUndefined();
  });

  test.each(envelopes)('$name: opens for a reader who has only the format page and other libraries', async (vector) => {
    const spec = specOfVector(vector);
    const { kid, kemId, kdfId, aeadId, header, enc, ciphertext } = readEnvelopeSlowly(hex(vector.envelope_hex));
    const { aead } = parseEnvelope(hex(vector.envelope_hex));
    expect({ kid, aeadId }).toEqual({ kid: vector.kid, aeadId: aead.aeadId });
    if (spec.kind === 'aead') {
      expect([kemId, kdfId]).toEqual([0, 0]);
      expect(Buffer.from(aeadPeers[aead.name].open(hex(vector.seed_hex), enc, Buffer.concat([header, hex(vector.aad_hex)]), ciphertext))).toEqual(hex(vector.plaintext_hex));
    } else if (spec.kind === 'kem') {
      expect([kemId, kdfId]).toEqual([spec.kem.kemId, 1]);
      expect(Buffer.from(kemPeers[spec.kem.name].publicOf(hex(vector.seed_hex)))).toEqual(hex(vector.public_hex ?? ''));
      const suite = new hpke.CipherSuite(kemPeers[spec.kem.name].hpkeKem, hpke.KDF_HKDF_SHA256, aeadPeers[aead.name].hpkeAead);
      const key = await suite.DeserializePrivateKey(hex(vector.seed_hex));
      expect(Buffer.from(await suite.Open(key, enc, ciphertext, { info: header, aad: hex(vector.aad_hex) }))).toEqual(hex(vector.plaintext_hex));
    }
  });

  const attempt = (item: RefusedEnvelope) => {
    const vector = envelopes.find(({ name }) => name === item.of);
    if (vector === undefined) throw new Error('a refused envelope has no vector');
    return open(vector, hex(item.aad_hex), hex(item.envelope_hex));
  };

  test.each(refused.filter(({ fails }) => fails === 'parse'))('$of, with $name, is refused before any key is used', (item) => {
    expect(() => attempt(item)).toThrow(expect.objectContaining({ code: 'UnwrapFailed' }));
  });

  test.each(refused.filter(({ fails }) => fails === 'open'))('$of, with $name, parses and does not open', (item) => {
    expect(attempt(item)).toBeUndefined();
  });
});

/** Each signature of a bundle beside the scheme and the public part it belongs to. */
function partsOf(vector: BundleVector) {
  const spec = isAlg(vector.alg) ? specOf(vector.alg, vector.parameter_set) : undefined;
  if (spec?.kind !== 'signature') throw new Error('a bundle is of a signing algorithm');
  return spec.schemes.map((scheme, i) => {
    const [part, sig] = [vector.public[i], vector.sigs[i]];
    if (part === undefined || sig === undefined) throw new Error('a bundle has a public part and a signature for each scheme');
    expect([part.alg, sig.alg, part.parameter_set, sig.parameter_set]).toEqual([scheme.wireAlg, scheme.wireAlg, scheme.parameterSet, scheme.parameterSet]);
    return { scheme, seed: hex(part.seed_hex), part: { alg: part.alg, bytes: hex(part.pubkey_hex) }, signature: Buffer.from(sig.signature_b64, 'base64') };
  });
}

describe('docs/formats/vectors/bundle.json', () => {
  test.each(bundles)('$name: the seeds make the public parts, and every signature verifies, here and in another library', async (vector) => {
    const { message, digestHex } = messageOf(vector.input, { bytes: hex(vector.payload_hex) });
    expect(digestHex).toBe(vector.payload_b3);
    const context = hex(vector.context_hex);
    for (const { scheme, seed, part, signature } of partsOf(vector)) {
      expect(signatures[scheme.name].signerFromSeed(seed).publicBytes).toEqual(part.bytes);
      expect(signature).toHaveLength(scheme.signatureBytes);
      expect(await publicKeys.verify(scheme, part, message, context, signature)).toBe(true);
      expect(signaturePeers[scheme.name].verify(part.bytes, message, context, signature)).toBe(true);
    }
  });

  test.each(bundles)('$name: no signature verifies over another message, and none with a context under another context', async (vector) => {
    const { message } = messageOf(vector.input, { bytes: Buffer.concat([hex(vector.payload_hex), Buffer.of(0)]) });
    const original = messageOf(vector.input, { bytes: hex(vector.payload_hex) }).message;
    for (const { scheme, part, signature } of partsOf(vector)) {
      expect(await publicKeys.verify(scheme, part, message, hex(vector.context_hex), signature)).toBe(false);
      if (scheme.hasContext) expect(await publicKeys.verify(scheme, part, original, hex(`${vector.context_hex}00`), signature)).toBe(false);
    }
  });
});

describe('docs/formats/vectors/token.json', () => {
  test.each(tokens)('$name: decodes, its chain holds under its root secret alone, and a reader of the format page mints the same', (vector) => {
    const macaroon = decodeToken(vector.token);
    if (macaroon === undefined) throw new Error('a vector does not decode');
    expect(macaroon.identifier.toString('utf8')).toBe(vector.identifier);
    expect(macaroon.caveats.map(({ id }) => id.toString('utf8'))).toEqual(vector.caveats);
    expect(encodeToken(macaroon)).toBe(vector.token);
    expect(deriveMacaroonKey(hex(vector.secret_hex))).toEqual(hex(vector.macaroon_key_hex));
    expect(verifyChain(hex(vector.macaroon_key_hex), macaroon)).toHaveLength(vector.caveats.length + 1);
    expect(verifyChain(hex(vector.secret_hex), macaroon)).toBeUndefined();
    expect(mintSlowly(hex(vector.secret_hex), vector.identifier, vector.caveats)).toBe(vector.token);
  });

  test('the token without caveats leaves nothing; the other two leave what their caveats say', () => {
    const left = tokens.map(({ caveats }) => readCaveats(caveats));
    expect(tally(left, (caveats) => (typeof caveats === 'string' ? caveats : [...caveats.scopes].join(' ')))).toEqual({ 'no scope': 1, 'kms:sign kms:verify': 1, 'kms:sign': 1 });
  });
});
