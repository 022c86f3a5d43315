/**
 * Makes docs/formats/vectors/store-v1.db and store.json: `node scripts/make-store-vector.ts`. A store of another format
 * gets files of its own; these stay, as old stores do.
 */
import type { VersionRecord } from '../src/core/key/record.ts';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sealBlob } from '../src/adapters/custody-file/sealed-blob.ts';
import { FIRST_EPOCH, rootKeysOf } from '../src/adapters/root-key/root-keys.ts';
import { STORE_MAC_INFO } from '../src/adapters/store-file/mac-keys.ts';
import { openFileStore } from '../src/adapters/store-file/store.ts';
import { createKemPrimitives } from '../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../src/adapters/crypto/pool-gate.ts';
import { privatePartsFrom, seedBytesOf } from '../src/adapters/crypto/private-parts.ts';
import { createPublicKeyCache } from '../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../src/adapters/crypto/signatures.ts';
import { createLockedMemory } from '../src/adapters/system/locked-memory.ts';
import { systemProcesses } from '../src/adapters/system/processes.ts';
import { aeads, specOf } from '../src/core/algorithm/table.ts';
import { kidBase, kidText } from '../src/core/key/kid.ts';
import { moveVersions } from '../src/service/change-key.ts';
import { REVEAL } from '../src/core/reveal.ts';
import { Secret } from '../src/core/secret.ts';

const DIRECTORY = new URL('../docs/formats/vectors/', import.meta.url);
const INSTANCE = '01932c07-2b4e-7c55-9a2f-0123456789ab';
const MADE_AT_MS = Date.UTC(2026, 10, 24);

const memory = createLockedMemory();
const cache = createPublicKeyCache(8);
const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };
const bytesOf = (name: string, length: number): Buffer => createHash('shake256', { outputLength: length }).update(`ron-kms store vector ${name}`).digest();

const rootKeyBytes = bytesOf('root key', 32);
const rootKeys = rootKeysOf([{ epoch: FIRST_EPOCH, key: new Secret(Buffer.from(rootKeyBytes)) }], INSTANCE, memory);

interface StoredVector {
  readonly kid: string;
  readonly generation: number;
  readonly aead: string;
  readonly seeds_hex: string;
  readonly blob_hex: string;
}

const made: StoredVector[] = [];

const plans = [
  { alg: 'ed25519+ml-dsa', parameterSet: 'ML-DSA-65', aead: 'ChaCha20-Poly1305' }, { alg: 'ed25519', parameterSet: undefined, aead: 'AES-256-GCM' },
  { alg: 'x25519+ml-kem', parameterSet: undefined, aead: 'ChaCha20-Poly1305' }, { alg: 'aes-256-gcm', parameterSet: undefined, aead: 'AES-256-GCM' },
  { alg: 'mldsa65-ed25519-sha512', parameterSet: undefined, aead: 'ChaCha20-Poly1305' },
] as const;

const directory = mkdtempSync(join(tmpdir(), 'ron-kms-vector-'));
const store = await openFileStore({ directory, rootKeys, mayCreate: true, cacheKeysMax: 8, processes: systemProcesses });

function versionOf(plan: (typeof plans)[number], base: string, version: number): (generation: number) => VersionRecord {
  const kid = kidText(base, version);
  const spec = specOf(plan.alg, plan.parameterSet);
  const seeds = bytesOf(kid, seedBytesOf(spec, primitives));
  const { publicParts } = privatePartsFrom(spec, seeds, { primitives, memory });
  return (generation) => {
    const blob = sealBlob(seeds, { kid, generation }, aeads[plan.aead], rootKeys, bytesOf(`nonce ${kid}`, 12));
    made.push({ kid, generation, aead: plan.aead, seeds_hex: seeds.toString('hex'), blob_hex: blob.toString('hex') });
    return { version, kid, kidHash: '', state: 'enabled', createdAtMs: MADE_AT_MS, attestationClass: 'file', publicParts, custodyBlob: blob, sealedGeneration: generation };
  };
}

const bases = plans.map(({ alg }, i) => kidBase('core', 'vector', alg, `01932c07-2b4e-7c55-9a2f-00000000000${i}`));
for (const [i, plan] of plans.entries()) {
  const base = bases[i] ?? '';
  const first = versionOf(plan, base, 1);
  await store.commit({
    intent: 2 * i,
    put: (generation) => ({
      base, tenant: 'core', purpose: 'vector', alg: plan.alg, ...(plan.parameterSet !== undefined && { parameterSet: plan.parameterSet }), input: 'b3',
      labels: { number: String(i) }, createdAtMs: MADE_AT_MS, versions: [first(generation)],
    }),
    ...(i === 1 && { operation: { scope: '["root","client","core","create","op"]', bodyHash: 'ab'.repeat(32), expiresAtMs: Date.UTC(2100, 0, 1) } }),
  });
}

async function change(base: string | undefined, of: (version: VersionRecord) => VersionRecord): Promise<void> {
  const key = await store.find(base ?? '');
  if (key === undefined) throw new Error('it was committed');
  await store.commit({ put: () => ({ ...key, versions: key.versions.map(of) }) });
}

const hybrid = await store.find(bases[0] ?? '');
if (hybrid === undefined) throw new Error('it was committed');
const second = versionOf(plans[0], hybrid.base, 2);
await store.commit({ intent: 20, put: (generation) => ({ ...hybrid, rotateAfterMs: 86_400_000, versions: [...hybrid.versions, second(generation)] }) });
await change(bases[1], (version) => ({ ...version, state: 'disabled' }));
await change(bases[2], (version) => moveVersions({ ...hybrid, versions: [{ ...version, state: 'scheduled', destroyAtMs: 0 }] }, 'erase', () => true, { nowMs: 1, afterMs: 0 }).versions[0] ?? version);
await store.reserveNonces(kidText(bases[3] ?? '', 1), undefined, 22);
const generation = store.generation();
await store.close();

const [one, other] = made as [StoredVector, StoredVector];
const flipped = Buffer.from(one.blob_hex, 'hex');
flipped[40] = (flipped[40] ?? 0) ^ 1;
const refused = [
  { name: 'another kid', kid: other.kid, generation: one.generation, blob_hex: one.blob_hex },
  { name: 'another generation', kid: one.kid, generation: one.generation + 1, blob_hex: one.blob_hex },
  { name: 'one bit', kid: one.kid, generation: one.generation, blob_hex: flipped.toString('hex') },
  { name: 'another format', kid: one.kid, generation: one.generation, blob_hex: `02${one.blob_hex.slice(2)}` },
  { name: 'another AEAD', kid: one.kid, generation: one.generation, blob_hex: `0102${one.blob_hex.slice(4)}` },
  { name: 'another epoch', kid: one.kid, generation: one.generation, blob_hex: `${one.blob_hex.slice(0, 4)}01${one.blob_hex.slice(6)}` },
];

const macKey = rootKeys.derive(FIRST_EPOCH, STORE_MAC_INFO);
writeFileSync(new URL('store.json', DIRECTORY), `${JSON.stringify({
  format: 'docs/formats/store.md', instance_id: INSTANCE, root_key_hex: rootKeyBytes.toString('hex'), epoch: FIRST_EPOCH,
  mac_key_hex: macKey?.read(REVEAL).toString('hex'), generation, records: made, refused,
}, null, 1)}\n`);
copyFileSync(join(directory, 'keys.db'), new URL('store-v1.db', DIRECTORY));
rmSync(directory, { recursive: true });
