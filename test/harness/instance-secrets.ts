/** The secrets of an instance that `ron-kms init` made, read from a copy of its files with its passphrase. */
import type { RootKeys } from '../../src/adapters/root-key/root-keys.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import type { Needle } from './needles.ts';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import canonicalize from 'canonicalize';
import { openBlob } from '../../src/adapters/custody-file/sealed-blob.ts';
import { passphraseOf } from '../../src/adapters/root-key/passphrase.ts';
import { openRootKeyFile } from '../../src/adapters/root-key/root-key.ts';
import { rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { open } from '../../src/adapters/root-key/sealing.ts';
import { STORE_MAC_INFO } from '../../src/adapters/store-file/mac-keys.ts';
import { openFileStore } from '../../src/adapters/store-file/store.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { systemProcesses } from '../../src/adapters/system/processes.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
import { parseKid } from '../../src/core/key/kid.ts';
import { REVEAL } from '../../src/core/reveal.ts';

/** Where a running service may have it: in memory that the kernel locked; as an object of OpenSSL on its ordinary heap; nowhere once it was used. */
type Place = 'locked' | 'openssl' | 'nowhere';

export interface KnownSecret extends Needle {
  readonly place: Place;
}

const SEED_BYTES = 32;
const LOG_KEYS = 'ron-kms::ron-kms::audit::log-keys';
const OWN_USES = [STORE_MAC_INFO, LOG_KEYS, `${LOG_KEYS}-file`, 'ron-kms::ron-kms::audit::state'];
const memory = createLockedMemory();

export async function secretsOf({ auditDir, sealedDir, words }: { readonly auditDir: string; readonly sealedDir: string; readonly words: string }): Promise<readonly KnownSecret[]> {
  const textOf = (name: string): string => readFileSync(join(auditDir, name), 'utf8');
  const { instance_id: instanceId } = JSON.parse(textOf('identity.json')) as { instance_id: string };
  const { rootKey, sealingKey, epoch } = await openRootKeyFile(Buffer.from(textOf('root-key.json')), instanceId, { seal: 'passphrase', secret: passphraseOf(Buffer.from(words)) }, memory);
  const rootKeys = rootKeysOf([{ epoch, key: rootKey }], instanceId, memory);
  const versions = await liveVersions(sealedDir, rootKeys);
  const uses = [...OWN_USES, ...versions.map(({ kid }) => `ron-kms::${parseKid(kid)?.tenant}::${parseKid(kid)?.purpose}::${kid}`)];
  return [
    { name: 'the root key', bytes: Buffer.from(rootKey.read(REVEAL)), place: 'locked' },
    { name: 'the key that the passphrase gives', bytes: Buffer.from(sealingKey.read(REVEAL)), place: 'locked' },
    ...uses.map((info): KnownSecret => ({ name: `the key for ${info}`, bytes: Buffer.from(rootKeys.derive(epoch, info)?.read(REVEAL) ?? []), place: 'locked' })),
    ...versions.flatMap((version) => privateParts(version, rootKeys)),
    ...logSeeds(JSON.parse(textOf('log-keys.json')) as LogKeysFile, instanceId, rootKeys),
  ];
}

async function liveVersions(sealedDir: string, rootKeys: RootKeys): Promise<readonly VersionRecord[]> {
  const copy = mkdtempSync(join(tmpdir(), 'ron-kms-copy-'));
  try {
    cpSync(sealedDir, copy, { recursive: true, filter: (path) => !path.endsWith('/lock') });
    const store = await openFileStore({ directory: copy, rootKeys, mayCreate: false, cacheKeysMax: 1, processes: systemProcesses });
    const { keys } = await store.list({ tenant: undefined, purpose: undefined, alg: undefined, state: undefined, label: undefined, after: undefined, limit: 1000, admits: () => true });
    await store.close();
    return keys.flatMap((key) => key.versions.filter(({ custodyBlob }) => custodyBlob !== undefined));
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function privateParts({ kid, publicParts, custodyBlob, sealedGeneration }: VersionRecord, rootKeys: RootKeys): readonly KnownSecret[] {
  const seeds = openBlob(custodyBlob ?? Buffer.alloc(0), { kid, generation: sealedGeneration ?? 0 }, rootKeys, memory);
  const alg = parseKid(kid)?.alg;
  if (seeds === undefined || alg === undefined) throw new Error(`the private part of ${kid} does not open`);
  const spec = specOf(alg, publicParts.find(({ parameterSet }) => parameterSet !== undefined)?.parameterSet);
  const part = (what: string, bytes: Buffer, place: Place): KnownSecret => ({ name: `${what} of ${kid}`, bytes: Buffer.from(bytes), place });
  if (spec.kind === 'aead') return [part('the key', seeds, 'locked')];
  if (spec.kind === 'kem') return kemParts(spec.kem.name, seeds).map(([what, bytes, place]) => part(what, bytes, place));
  const inOneKey = spec.schemes.flatMap(({ name }) => (name === 'MLDSA65-Ed25519-SHA512' ? ['ML-DSA-65', 'Ed25519'] : [name]));
  return inOneKey.map((scheme, i) => part(`the ${scheme} seed`, seeds.subarray(i * SEED_BYTES, (i + 1) * SEED_BYTES), scheme === 'Ed25519' ? 'locked' : 'openssl'));
}

/** draft-connolly-cfrg-xwing-kem-10 §5.2 for X-Wing: the seed, and what it expands to. */
function kemParts(kem: string, seeds: Buffer): readonly (readonly [string, Buffer, Place])[] {
  if (kem === 'X25519') return [['the X25519 key', seeds, 'locked']];
  const mlKem = (of: Buffer) => [['the seed d', of.subarray(0, SEED_BYTES), 'openssl'], ['the seed z', of.subarray(SEED_BYTES, 2 * SEED_BYTES), 'openssl']] as const;
  if (kem !== 'X-Wing') return mlKem(seeds);
  const expanded = createHash('shake256', { outputLength: 3 * SEED_BYTES }).update(seeds).digest();
  return [['the seed', seeds, 'nowhere'], ...mlKem(expanded), ['the X25519 key', expanded.subarray(2 * SEED_BYTES), 'locked']];
}

interface LogKeysFile {
  readonly sets: readonly { readonly position: number; readonly keys: readonly { readonly vkey: string; readonly alg: string; readonly nonce_b64: string; readonly sealed_b64: string }[] }[];
}

function logSeeds({ sets }: LogKeysFile, instanceId: string, rootKeys: RootKeys): readonly KnownSecret[] {
  const key = rootKeys.derive(rootKeys.current(), LOG_KEYS);
  return sets.flatMap(({ position, keys }) => keys.map(({ vkey, alg, ...sealed }): KnownSecret => {
    const seed = key && open(key, sealed, `ron-kms/log-keys/v1\n${canonicalize({ instance_id: instanceId, position, vkey })}`, memory);
    if (seed === undefined) throw new Error(`the seed of the log's ${alg} key does not open`);
    return { name: `the log's ${alg} seed`, bytes: Buffer.from(seed.read(REVEAL)), place: alg === 'ed25519' ? 'locked' : 'openssl' };
  }));
}
