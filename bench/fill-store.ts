import type { PrivatePartsDeps } from '../src/adapters/crypto/private-parts.ts';
import type { RootKeys } from '../src/adapters/root-key/root-keys.ts';
import type { AuditEvent } from '../src/core/log/entry.ts';
import type { KeyRecord, PublicPart } from '../src/core/key/record.ts';
import type { KeyStore } from '../src/ports/key-store.ts';
import type { Instance } from './instance.ts';
import { readFileSync } from 'node:fs';
import { createKemPrimitives } from '../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../src/adapters/crypto/pool-gate.ts';
import { newSeeds, privatePartsFrom } from '../src/adapters/crypto/private-parts.ts';
import { createPublicKeyCache } from '../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../src/adapters/crypto/signatures.ts';
import { sealBlob } from '../src/adapters/custody-file/sealed-blob.ts';
import { openFileStore } from '../src/adapters/store-file/store.ts';
import { systemClock } from '../src/adapters/system/clock.ts';
import { createLockedMemory } from '../src/adapters/system/locked-memory.ts';
import { systemProcesses } from '../src/adapters/system/processes.ts';
import { createSystemRandom } from '../src/adapters/system/random.ts';
import { createDevices } from '../src/compose/devices.ts';
import { openAudit } from '../src/compose/audit.ts';
import { openInstance } from '../src/compose/open-instance.ts';
import { loadConfig } from '../src/config/load.ts';
import { aeads, parameterSetOf, specOf } from '../src/core/algorithm/table.ts';
import { blake3Hex } from '../src/core/digest.ts';
import { kidText } from '../src/core/key/kid.ts';
import { PURPOSE, TENANT } from './service-under-test.ts';

/** The product's own: what a call gets that names no algorithm. */
const ALG = 'ed25519+ml-dsa';
const { parameterSet = '' } = parameterSetOf(ALG, undefined);
const SPEC = specOf(ALG, parameterSet);

/** Pairs of seeds that the keys share, each key with a blob of its own: making a million pairs takes minutes. */
const PAIRS = 1000;
const BATCH = 256;
/** Keys between two checkpoints. */
const STRIDE = 32 * BATCH;
const TOLD_EVERY = 400 * BATCH;
const KID_HASH_DIGITS = 8;

interface Pair {
  readonly seeds: Buffer;
  readonly publicParts: readonly PublicPart[];
}

/** The key of this number in a store that was filled. */
export function filledBase(number: number): string {
  return `${TENANT}/${PURPOSE}/${ALG}/${uuidOf(number)}`;
}

/** Hybrid keys, as many as are asked for, committed by the store itself, each with its intent and its outcome in the log. */
export async function fillStore({ configPath }: Instance, keys: number, signal: AbortSignal, progress: (line: string) => void): Promise<void> {
  const memory = createLockedMemory();
  const publicKeys = createPublicKeyCache(1);
  const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys }), kems: createKemPrimitives(publicKeys) };
  const config = loadConfig({ file: { path: configPath, text: readFileSync(configPath, 'utf8') }, environment: {}, flags: { 'audit-durability': 'os' } });
  const { rootKeys, ...instance } = await openInstance({ config, memory, environment: {}, credentialsDirectory: undefined });
  const { log } = await openAudit({ config, memory, instance: { ...instance, rootKeys }, clock: systemClock, random: createSystemRandom(), signatures: primitives.signatures, devices: createDevices({ settings: config.settings, environment: {} }) });
  const store = await openFileStore({ directory: config.settings['backends.file.dir'], rootKeys, mayCreate: false, cacheKeysMax: 1, processes: systemProcesses });
  const pairs = Array.from({ length: PAIRS }, () => makePair({ primitives, memory }));
  /** The outcomes of the batch before, written while the next batch is under way. */
  let logged: Promise<unknown> = Promise.resolve();
  try {
    for (let from = 0; from < keys; from += BATCH) {
      signal.throwIfAborted();
      const numbers = Array.from({ length: Math.min(BATCH, keys - from) }, (_, i) => from + i);
      const { firstIndex } = await log.append(numbers.map((number) => creationOf(number, { result: 'intent' })));
      const committed = numbers.map((number, i) => commit(store, number, { pair: pairs[number % PAIRS] as Pair, rootKeys, intent: firstIndex + i }));
      await logged;
      logged = Promise.all(committed).then((generations) => log.append(numbers.map((number, i) => creationOf(number, { result: 'ok', kid: kidText(filledBase(number), 1), generation: generations[i] }))));
      // Tiles are written in the checkpoint's turn; faster than they can be, nothing is taken.
      if (from % STRIDE === 0) await log.checkpointNow();
      if (from > 0 && from % TOLD_EVERY === 0) progress(`large store  ${from.toLocaleString('en')} keys written`);
    }
    await logged;
  } finally {
    for (const { seeds } of pairs) memory.give(seeds);
    await logged.catch(() => undefined);
    await store.close();
    await log.stop();
    rootKeys.destroy();
  }
}

function makePair(deps: PrivatePartsDeps): Pair {
  const seeds = newSeeds(SPEC, deps);
  const { publicParts, destroy } = privatePartsFrom(SPEC, seeds, deps);
  destroy();
  return { seeds, publicParts };
}

interface Creation {
  readonly pair: Pair;
  readonly rootKeys: RootKeys;
  readonly intent: number;
}

/** Gives the generation that it made. */
async function commit(store: KeyStore, number: number, { pair, rootKeys, intent }: Creation): Promise<number> {
  const { generation } = await store.commit({ intent, put: (at) => recordOf(number, pair, at, rootKeys) });
  return generation;
}

function recordOf(number: number, { seeds, publicParts }: Pair, generation: number, rootKeys: RootKeys): KeyRecord {
  const base = filledBase(number);
  const kid = kidText(base, 1);
  const createdAtMs = systemClock.wallMs();
  const custodyBlob = sealBlob(seeds, { kid, generation }, aeads['ChaCha20-Poly1305'], rootKeys);
  return {
    base, tenant: TENANT, purpose: PURPOSE, alg: ALG, parameterSet, input: 'b3', labels: {}, createdAtMs,
    versions: [{ version: 1, kid, kidHash: blake3Hex(kid).slice(0, KID_HASH_DIGITS), state: 'enabled', createdAtMs, attestationClass: 'file', publicParts, custodyBlob, sealedGeneration: generation }],
  };
}

function creationOf(number: number, outcome: Pick<AuditEvent, 'result'> & { readonly kid?: string; readonly generation?: number | undefined }): AuditEvent {
  const opId = uuidOf(number);
  return {
    op: 'create', op_id: opId, corr_id: opId, tenant: TENANT, kid: undefined, alg: ALG, purpose: PURPOSE, input_hash: 'ab'.repeat(32), reason: undefined,
    actor: { client_id: 'bench', root_key_id: 'bench', token_id: 'bench', via: 'tcp', peer: '127.0.0.1' }, policy: undefined, generation: undefined, ...outcome,
  };
}

function uuidOf(number: number): string {
  return `01932c07-0000-7000-8000-${String(number).padStart(12, '0')}`;
}
