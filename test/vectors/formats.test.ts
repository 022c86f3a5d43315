import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { argon2id } from '@noble/hashes/argon2.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js';
import canonicalize from 'canonicalize';
import * as hpke from 'hpke';
import { describe, expect, test } from 'vitest';
import type { BundleVector, EnvelopeVector, RefusedEnvelope } from '../../scripts/make-vectors.ts';
import { hexSecret, openerOf } from '../../scripts/keys-vector.ts';
import { makeVectors, readVectors } from '../../scripts/make-vectors.ts';
import { readIdentity } from '../../src/adapters/log-keys/identity.ts';
import { openLogSigner } from '../../src/adapters/log-keys/open.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { openRootKey } from '../../src/adapters/root-key/root-key.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { isAlg, specOf } from '../../src/core/algorithm/table.ts';
import { parseEnvelope, suits } from '../../src/core/envelope/envelope.ts';
import { aeadOpen, hpkeOpen } from '../../src/core/envelope/hpke.ts';
import { kidText } from '../../src/core/key/kid.ts';
import { readCaveats } from '../../src/core/macaroon/caveats.ts';
import { deriveMacaroonKey, verifyChain } from '../../src/core/macaroon/chain.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';
import { messageOf } from '../../src/core/payload.ts';
import { REVEAL } from '../../src/core/reveal.ts';
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

/** A file in memory, as the adapters of the keys want one. */
function fileOf(text: string) {
  return { read: async () => Buffer.from(text), replace: async () => undefined };
}

function openSealed(key: Uint8Array, { nonce_b64: nonce = '', sealed_b64: sealed = '' }: Readonly<Record<string, string>>, aad: string): string {
  return Buffer.from(chacha20poly1305(key, Buffer.from(nonce, 'base64'), Buffer.from(aad)).decrypt(Buffer.from(sealed, 'base64'))).toString('hex');
}

describe('docs/formats/vectors/keys.json', () => {
  const keys = frozen.keys ?? expect.unreachable();
  const memory = createLockedMemory();
  const instanceId = keys.instance_id;
  const openRoot = (of: string, text: string) => openRootKey(Buffer.from(text), instanceId, openerOf(keys.root_keys.find(({ name }) => name === of) ?? expect.unreachable(), { memory }), memory);
  const openLogKeys = (text: string) => openLogSigner({ file: fileOf(text), instanceId, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: hexSecret(keys.log_keys[0].root_key_hex, { memory }) }], instanceId, memory), signatures, memory, keyOverlapMs: 0 });

  test('is whole: an identity, 2 root keys, 1 file of log keys, 19 and 10 refused', () => {
    expect([keys.root_keys, keys.log_keys, keys.refused_root_keys, keys.refused_log_keys].map(({ length }) => length)).toEqual([2, 1, 19, 10]);
  });

  test('the identity names the instance of all the others', async () => {
    expect(await readIdentity(fileOf(keys.identity.file))).toEqual({ instanceId, createdAt: keys.identity.created_at });
  });

  test.each(keys.root_keys)('the root key $name opens, for a reader of the format page with other libraries too', async ({ name, seal, opener_hex: opener, root_key_hex: rootKey, file: text }) => {
    expect((await openRoot(name, text)).read(REVEAL).toString('hex')).toBe(rootKey);
    const { nonce_b64, sealed_b64, ...header } = JSON.parse(text) as Record<string, any>;
    const { memory_kib: m, passes: t, parallelism: p, salt_b64: salt } = header['kdf'] ?? {};
    const key = seal === 'passphrase'
      ? argon2id(hex(opener).toString('utf8').normalize('NFC'), Buffer.from(salt, 'base64'), { m, t, p, dkLen: 32 })
      : hkdf(sha256, hex(opener), Buffer.from(instanceId), Buffer.from('ron-kms::ron-kms::root::keyfile'), 32);
    expect(openSealed(key, { nonce_b64, sealed_b64 }, `ron-kms/root-key/v1\n${canonicalize(header)}`)).toBe(rootKey);
  }, 60_000);

  test.each(keys.refused_root_keys)('a root key $of, $name, does not open', async ({ of, file: text }) => {
    await expect(openRoot(of, text)).rejects.toThrow();
  });

  test('the log keys open, for a reader of the format page with other libraries too', async () => {
    const [{ root_key_hex: rootKey, derived, seeds, file: text }] = keys.log_keys;
    const signer = await openLogKeys(text);
    const derive = (info: string) => hkdf(sha256, hex(rootKey), Buffer.from(instanceId), Buffer.from(info), 32);
    for (const { info, key_hex: key } of derived) expect(Buffer.from(derive(info)).toString('hex')).toBe(key);
    const { mac_b64: mac, ...content } = JSON.parse(text) as Record<string, any>;
    expect(Buffer.from(hmac(sha256, derive('ron-kms::ron-kms::audit::log-keys-file'), Buffer.from(canonicalize(content) ?? ''))).toString('base64')).toBe(mac);
    expect(Buffer.from(hmac(sha256, derive('ron-kms::ron-kms::audit::state'), Buffer.of(1)))).toEqual(signer.mac(Buffer.of(1)));

    const sealed = [content['sets'][1], content['prepared'].set].flatMap(({ position, keys: stored }) => stored.map((key: Record<string, string>) => ({ position, ...key })));
    expect(sealed).toHaveLength(seeds.length);
    for (const [i, { position, alg, seed_hex: seed }] of seeds.entries()) {
      expect(sealed[i]).toMatchObject({ position, alg });
      const { vkey } = sealed[i];
      expect(openSealed(derive('ron-kms::ron-kms::audit::log-keys'), sealed[i], `ron-kms/log-keys/v1\n${canonicalize({ instance_id: instanceId, position, vkey })}`)).toBe(seed);
      const publicKey = alg === 'ed25519' ? ed25519.getPublicKey(hex(seed)) : ml_dsa44.keygen(hex(seed)).publicKey;
      expect(Buffer.from(vkey.split('+').slice(2).join('+'), 'base64').subarray(1)).toEqual(Buffer.from(publicKey));
    }
  });

  test.each(keys.refused_log_keys)('log keys $name do not open', async ({ file: text }) => {
    await expect(openLogKeys(text)).rejects.toThrow();
  });
});
