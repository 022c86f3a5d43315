/**
 * Makes docs/formats/vectors/*.json: `node scripts/make-vectors.ts`. Keys come from fixed seeds, so all but
 * encapsulations, hedged signatures and what lies under a random nonce is the same each time; those are kept as they
 * stand in the files for as long as they open and verify, and made anew after a change of the format.
 */
import type { Aead, Alg, KeySpec } from '../src/core/algorithm/table.ts';
import type { KeysVectors } from './keys-vector.ts';
import type { LogVector, RefusedReceipt } from './log-vector.ts';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createKemPrimitives } from '../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../src/adapters/crypto/signatures.ts';
import { createLockedMemory } from '../src/adapters/system/locked-memory.ts';
import { AEAD_KEY_BYTES, aeads, algNames, algorithms, specOf } from '../src/core/algorithm/table.ts';
import { encodeEnvelope, envelopeHeader, parseEnvelope } from '../src/core/envelope/envelope.ts';
import { aeadSeal, hpkeOpen } from '../src/core/envelope/hpke.ts';
import { kidBase, kidText } from '../src/core/key/kid.ts';
import { deriveMacaroonKey, mint } from '../src/core/macaroon/chain.ts';
import { encodeToken } from '../src/core/macaroon/codec.ts';
import { messageOf } from '../src/core/payload.ts';
import { makeKeysVectors } from './keys-vector.ts';
import { makeLogVector, refusedReceipts } from './log-vector.ts';

export interface EnvelopeVector {
  readonly name: string;
  readonly kid: string;
  readonly parameter_set?: string;
  readonly aead: string;
  readonly seed_hex: string;
  readonly public_hex?: string;
  readonly aad_hex: string;
  readonly plaintext_hex: string;
  readonly envelope_hex: string;
}

/** What must not come out as a key: it fails as it is parsed, or as it is opened with the key of the vector `of`. */
export interface RefusedEnvelope {
  readonly name: string;
  readonly of: string;
  readonly fails: 'parse' | 'open';
  readonly aad_hex: string;
  readonly envelope_hex: string;
}

export interface BundleVector {
  readonly name: string;
  readonly alg: string;
  readonly parameter_set?: string;
  readonly input: 'b3' | 'raw';
  readonly public: readonly { readonly alg: string; readonly parameter_set?: string; readonly seed_hex: string; readonly pubkey_hex: string }[];
  readonly payload_hex: string;
  readonly payload_b3: string;
  readonly context_hex: string;
  readonly sigs: readonly { readonly alg: string; readonly parameter_set?: string; readonly signature_b64: string }[];
}

interface TokenVector {
  readonly name: string;
  readonly secret_hex: string;
  readonly macaroon_key_hex: string;
  readonly identifier: string;
  readonly caveats: readonly string[];
  readonly token: string;
}

interface Vectors {
  readonly envelope: { readonly format: string; readonly vectors: readonly EnvelopeVector[]; readonly refused: readonly RefusedEnvelope[] };
  readonly bundle: { readonly format: string; readonly vectors: readonly BundleVector[] };
  readonly token: { readonly format: string; readonly vectors: readonly TokenVector[] };
  readonly log: { readonly format: string; readonly vectors: readonly LogVector[]; readonly refused: readonly RefusedReceipt[] };
  readonly keys: KeysVectors;
}

const DIRECTORY = new URL('../docs/formats/vectors/', import.meta.url);
const names = ['envelope', 'bundle', 'token', 'log', 'keys'] as const;

const UUID = '01932c07-2b4e-7c55-9a2f-0123456789ab';
const PAYLOAD = Buffer.from('the deed of the house on the hill', 'utf8');
const CONTEXT = Buffer.from('ron-kms vector', 'utf8');

const memory = createLockedMemory();
const publicKeyCache = createPublicKeyCache(16);
const signatures = createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys: publicKeyCache });
const kems = createKemPrimitives(publicKeyCache);
const publicKeys = createPublicKeys({ signatures, kems });

/** Every vector of every format, with those of `frozen` kept where they still hold. */
export async function makeVectors(frozen: Partial<Vectors> = {}): Promise<Vectors> {
  const kept = new Map(frozen.envelope?.vectors.map((vector) => [vector.name, Buffer.from(vector.envelope_hex, 'hex')]));
  const keptBundles = new Map(frozen.bundle?.vectors.map((vector) => [vector.name, vector]));
  const specs = algNames.flatMap((alg) => Object.keys(algorithms[alg].specs).map((name) => {
    const parameterSet = name === '' ? undefined : name;
    return { alg, parameterSet, spec: specOf(alg, parameterSet) };
  }));
  const envelopes = specs.flatMap(({ alg, parameterSet, spec }) => {
    if (spec.kind === 'signature') return [];
    const used = spec.kind === 'aead' ? [spec.aead] : Object.values(aeads);
    return used.map((aead, i) => makeEnvelope({ alg, parameterSet, spec, aead, aad: i === 0 ? CONTEXT : Buffer.alloc(0) }, kept));
  });
  const log = await makeLogVector({ signatures, seedOf }, frozen.log?.vectors[0]);
  return {
    envelope: {
      format: 'docs/formats/envelope.md, format 01',
      vectors: envelopes,
      refused: envelopes.flatMap((vector) => refusedOf[vector.name]?.(vector) ?? []),
    },
    bundle: {
      format: 'docs/formats/bundle.md',
      vectors: await Promise.all(specs.flatMap(({ alg, parameterSet, spec }) => (spec.kind === 'signature' ? [makeBundle({ alg, parameterSet, schemes: spec.schemes }, keptBundles)] : []))),
    },
    token: { format: 'docs/formats/token.md', vectors: [makeToken('no caveat', []), makeToken('the least that is admitted', leastCaveats), makeToken('every caveat', everyCaveat)] },
    log: { format: 'docs/formats/log.md', vectors: [log], refused: refusedReceipts(log) },
    keys: await makeKeysVectors({ signatures, memory, seedOf }, frozen.keys),
  };
}

function seedOf(name: string, lengthBytes: number): Buffer {
  return createHash('shake256', { outputLength: lengthBytes }).update(`ron-kms vector: ${name}`).digest();
}

interface EnvelopePlan {
  readonly alg: Alg;
  readonly parameterSet: string | undefined;
  readonly spec: Exclude<KeySpec, { kind: 'signature' }>;
  readonly aead: Aead;
  readonly aad: Buffer;
}

function makeEnvelope({ alg, parameterSet, spec, aead, aad }: EnvelopePlan, kept: ReadonlyMap<string, Buffer>): EnvelopeVector {
  const keyName = parameterSet ?? alg;
  const name = spec.kind === 'kem' ? `${keyName} with ${aead.wireAlg}` : keyName;
  const kid = kidText(kidBase('core', 'wrap', alg, UUID), 1);
  const plaintext = seedOf(`${name} plaintext`, 32);
  const common = { name, kid, ...(parameterSet !== undefined && { parameter_set: parameterSet }), aead: aead.wireAlg };
  const text = { aad_hex: aad.toString('hex'), plaintext_hex: plaintext.toString('hex') };
  if (spec.kind === 'aead') {
    const key = seedOf(keyName, AEAD_KEY_BYTES);
    const header = envelopeHeader(kid, undefined, spec.aead);
    const nonce = Buffer.from('000000000000000000000001', 'hex');
    const envelope = encodeEnvelope(header, nonce, aeadSeal(spec.aead, key, nonce, Buffer.concat([header, aad]), plaintext));
    return { ...common, seed_hex: key.toString('hex'), ...text, envelope_hex: envelope.toString('hex') };
  }
  const seed = seedOf(keyName, kems[spec.kem.name].seedBytes);
  const key = kems[spec.kem.name].fromSeed(seed);
  const header = envelopeHeader(kid, spec.kem, aead);
  const opens = (envelope: Buffer): boolean => {
    if (!envelope.subarray(0, header.length).equals(header)) return false;
    const { enc, ciphertext } = parseEnvelope(envelope);
    const secret = key.decapsulate(enc);
    return secret !== undefined && hpkeOpen(spec.kem, aead, secret, header, aad, ciphertext)?.equals(plaintext) === true;
  };
  const fresh = (): Buffer => {
    const { enc, ciphertext } = publicKeys.seal(spec.kem, aead, { alg, bytes: key.publicBytes }, header, aad, plaintext);
    return encodeEnvelope(header, enc, ciphertext);
  };
  const before = kept.get(name);
  const envelope = before !== undefined && opens(before) ? before : fresh();
  return { ...common, seed_hex: seed.toString('hex'), public_hex: key.publicBytes.toString('hex'), ...text, envelope_hex: envelope.toString('hex') };
}

type Damage = readonly [name: string, fails: 'parse' | 'open', change: (envelope: Buffer) => Buffer];

const HEADER_FIXED = 12;
const headerEnd = (envelope: Buffer): number => HEADER_FIXED + envelope.readUInt16BE(10);

/** Damage to one X25519 and one AEAD vector, from the first byte to the last. */
const refusedOf: Readonly<Record<string, (vector: EnvelopeVector) => readonly RefusedEnvelope[]>> = {
  'x25519 with aes-256-gcm': (vector) => damaged(vector, [
    ['nothing at all', 'parse', () => Buffer.alloc(0)],
    ['another magic', 'parse', (bytes) => set(bytes, 0, 0x72)],
    ['format 02', 'parse', (bytes) => set(bytes, 3, 0x02)],
    ['a KEM that its kid cannot have', 'parse', (bytes) => Buffer.concat([set(set(bytes, 4, 0x00), 5, 0x41), Buffer.alloc(1088)])],
    ['no KDF', 'parse', (bytes) => set(bytes, 7, 0x00)],
    ['an AEAD that is not offered (AES-128-GCM)', 'parse', (bytes) => set(bytes, 9, 0x01)],
    ['a kid longer than the envelope', 'parse', (bytes) => set(bytes, 10, 0xff)],
    ['a kid without its version', 'parse', (bytes) => Buffer.concat([set(bytes.subarray(0, headerEnd(bytes) - 3), 11, headerEnd(bytes) - HEADER_FIXED - 3), bytes.subarray(headerEnd(bytes))])],
    ['version 0', 'parse', (bytes) => set(bytes, headerEnd(bytes) - 1, 0x30)],
    ['a tag and no ciphertext', 'parse', (bytes) => bytes.subarray(0, headerEnd(bytes) + 32 + 16)],
    ['another version in the header', 'open', (bytes) => set(bytes, headerEnd(bytes) - 1, 0x32)],
    ['the other AEAD in the header', 'open', (bytes) => set(bytes, 9, 0x03)],
    ['an encapsulated key of low order (all zero)', 'open', (bytes) => Buffer.from(bytes).fill(0, headerEnd(bytes), headerEnd(bytes) + 32)],
    ['another bit in the encapsulated key', 'open', (bytes) => flip(bytes, headerEnd(bytes))],
    ['another bit in the ciphertext', 'open', (bytes) => flip(bytes, headerEnd(bytes) + 32)],
    ['another bit in the tag', 'open', (bytes) => flip(bytes, bytes.length - 1)],
    ['one byte too few', 'open', (bytes) => bytes.subarray(0, -1)],
    ['one byte too many', 'open', (bytes) => Buffer.concat([bytes, Buffer.of(0)])],
    ['other AAD', 'open', (bytes) => bytes],
  ]),
  'aes-256-gcm': (vector) => damaged(vector, [
    ['a KDF where none is', 'parse', (bytes) => set(bytes, 7, 0x01)],
    ['the AEAD of another kind of key', 'parse', (bytes) => set(bytes, 9, 0x03)],
    ['another version in the header', 'open', (bytes) => set(bytes, headerEnd(bytes) - 1, 0x32)],
    ['another nonce', 'open', (bytes) => flip(bytes, headerEnd(bytes) + 11)],
    ['another bit in the tag', 'open', (bytes) => flip(bytes, bytes.length - 1)],
    ['other AAD', 'open', (bytes) => bytes],
  ]),
};

function damaged({ name: of, aad_hex: aad, envelope_hex: envelope }: EnvelopeVector, changes: readonly Damage[]): readonly RefusedEnvelope[] {
  return changes.map(([name, fails, change]) => ({
    name, of, fails, aad_hex: name === 'other AAD' ? `${aad}00` : aad, envelope_hex: change(Buffer.from(envelope, 'hex')).toString('hex'),
  }));
}

function set(bytes: Buffer, at: number, value: number): Buffer {
  return Buffer.concat([bytes.subarray(0, at), Buffer.of(value), bytes.subarray(at + 1)]);
}

function flip(bytes: Buffer, at: number): Buffer {
  return set(bytes, at, bytes.readUInt8(at) ^ 1);
}

interface BundlePlan {
  readonly alg: Alg;
  readonly parameterSet: string | undefined;
  readonly schemes: Extract<KeySpec, { kind: 'signature' }>['schemes'];
}

/** A context where every scheme takes one; such keys get input raw, the others the default. */
async function makeBundle({ alg, parameterSet, schemes }: BundlePlan, kept: ReadonlyMap<string, BundleVector>): Promise<BundleVector> {
  const name = parameterSet === undefined ? alg : `${alg} with ${parameterSet}`;
  const hasContext = schemes.every((scheme) => scheme.hasContext);
  const input = hasContext ? 'raw' : 'b3';
  const context = hasContext ? CONTEXT : Buffer.alloc(0);
  const { message, digestHex } = messageOf(input, { bytes: PAYLOAD });
  const parts = schemes.map((scheme) => {
    const seed = seedOf(`${alg} ${scheme.name}`, signatures[scheme.name].seedBytes);
    const signer = signatures[scheme.name].signerFromSeed(seed);
    const wire = { alg: scheme.wireAlg, ...(scheme.parameterSet !== undefined && { parameter_set: scheme.parameterSet }) };
    const shown = { ...wire, seed_hex: seed.toString('hex'), pubkey_hex: signer.publicBytes.toString('hex') };
    return { scheme, signer, wire, bytes: signer.publicBytes, shown };
  });
  const sigs = parts.map(async ({ scheme, signer, wire, bytes }) => {
    const before = kept.get(name)?.sigs.find((sig) => sig.alg === scheme.wireAlg)?.signature_b64;
    const isKept = before !== undefined && (await publicKeys.verify(scheme, { alg: scheme.wireAlg, bytes }, message, context, Buffer.from(before, 'base64')));
    return { ...wire, signature_b64: isKept ? before : (await signer.sign(message, context)).toString('base64') };
  });
  return {
    name, alg, ...(parameterSet !== undefined && { parameter_set: parameterSet }), input,
    public: parts.map(({ shown }) => shown),
    payload_hex: PAYLOAD.toString('hex'), payload_b3: digestHex, context_hex: context.toString('hex'),
    sigs: await Promise.all(sigs),
  };
}

const leastCaveats = ['scope = kms:sign,kms:verify', 'tenant = core', 'expires = 2030-01-01T00:00:00.000Z'];
const everyCaveat = [
  ...leastCaveats, 'purpose = audit', 'alg = ed25519+ml-dsa', `kid = core/audit/ed25519+ml-dsa/${UUID}`, 'not-before = 2029-12-31T00:00:00Z',
  'peer = 10.0.0.0/8', `mtls = sha256:${'5e'.repeat(32)}`, 'rps = 50', 'scope = kms:sign',
];

function makeToken(name: string, caveats: readonly string[]): TokenVector {
  const secret = seedOf('root secret', 32);
  const macaroonKey = deriveMacaroonKey(secret);
  const identifier = 'ron1.root-1.client-1.token-1';
  return { name, secret_hex: secret.toString('hex'), macaroon_key_hex: macaroonKey.toString('hex'), identifier, caveats, token: encodeToken(mint(macaroonKey, identifier, caveats)) };
}

/** The vectors as they stand in the repository. */
export function readVectors(): Partial<Vectors> {
  const files = names.map((name) => [name, new URL(`${name}.json`, DIRECTORY)] as const).filter(([, file]) => existsSync(file));
  return Object.fromEntries(files.map(([name, file]) => [name, JSON.parse(readFileSync(file, 'utf8'))]));
}

if (import.meta.main) {
  const vectors = await makeVectors(readVectors());
  mkdirSync(DIRECTORY, { recursive: true });
  for (const name of names) writeFileSync(new URL(`${name}.json`, DIRECTORY), `${JSON.stringify(vectors[name], undefined, 2)}\n`);
}
