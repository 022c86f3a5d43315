/** The vectors of docs/formats/keys.md: the three files that `ron-kms init` puts into `audit.dir`, opened down to the seeds. */
import type { KeyPairDeps } from '../src/adapters/log-keys/key-pair.ts';
import type { LogKeysVault, StoredKey, StoredSet } from '../src/adapters/log-keys/vault.ts';
import type { Opener, SecretSealName } from '../src/adapters/root-key/root-key.ts';
import { hkdfSync } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { formatVkey, vkeyOf } from '../client/src/log/vkey.ts';
import { formatIdentity, originOf } from '../src/adapters/log-keys/identity.ts';
import { logKeyKinds } from '../src/adapters/log-keys/key-pair.ts';
import { openLogSigner } from '../src/adapters/log-keys/open.ts';
import { createVault } from '../src/adapters/log-keys/vault.ts';
import { passphraseOf } from '../src/adapters/root-key/passphrase.ts';
import { openRootKey, sealRootKey } from '../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../src/adapters/root-key/root-keys.ts';
import { deriveKey, lockSecret, macUnder } from '../src/adapters/root-key/sealing.ts';
import { canonicalJson } from '../src/core/canonical-json.ts';
import { Secret } from '../src/core/secret.ts';

interface RootKeyVector {
  readonly name: string;
  readonly seal: SecretSealName;
  /** A passphrase as it was typed, in UTF-8; or the 32 bytes of a key file. */
  readonly opener_hex: string;
  readonly root_key_hex: string;
  readonly file: string;
}

interface LogKeysVector {
  readonly name: string;
  readonly root_key_hex: string;
  /** By HKDF from the root key; each is named by its `info`. */
  readonly derived: readonly { readonly info: string; readonly key_hex: string }[];
  /** Of every key that is still sealed in the file. */
  readonly seeds: readonly { readonly position: number; readonly alg: string; readonly seed_hex: string }[];
  readonly file: string;
}

/** What must not open with what opens the vector `of`. */
interface RefusedKeyFile {
  readonly name: string;
  readonly of: string;
  readonly file: string;
}

export interface KeysVectors {
  readonly format: string;
  readonly instance_id: string;
  readonly identity: { readonly created_at: string; readonly file: string };
  readonly root_keys: readonly RootKeyVector[];
  readonly log_keys: readonly [LogKeysVector];
  readonly refused_root_keys: readonly RefusedKeyFile[];
  readonly refused_log_keys: readonly RefusedKeyFile[];
}

export interface KeysVectorDeps extends KeyPairDeps {
  /** Bytes that are always the same under a name. */
  readonly seedOf: (name: string, lengthBytes: number) => Buffer;
}

const INSTANCE = '01932c07-2b4e-7c55-9a2f-0123456789ab';
const CREATED_AT = '2026-11-23T00:00:00.000Z';
/** The é is two code points here, and one under NFC. */
const PASSPHRASE = 'otter lantern quartz cafe\u0301';
const INFO = { seeds: 'ron-kms::ron-kms::audit::log-keys', file: 'ron-kms::ron-kms::audit::log-keys-file', state: 'ron-kms::ron-kms::audit::state' } as const;

/** As they are made now; salts, nonces and what is sealed under them are kept from `frozen` where they still open. */
export async function makeKeysVectors(deps: KeysVectorDeps, frozen: KeysVectors | undefined): Promise<KeysVectors> {
  const rootKeyHex = deps.seedOf('root key', 32).toString('hex');
  const openers = [
    { name: 'under a passphrase', seal: 'passphrase', opener_hex: Buffer.from(PASSPHRASE).toString('hex') },
    { name: 'under a key file', seal: 'keyfile', opener_hex: deps.seedOf('key file', 32).toString('hex') },
  ] as const;
  const rootKeys = await Promise.all(openers.map((opener, i) => rootKeyVector({ ...opener, root_key_hex: rootKeyHex }, deps, frozen?.root_keys[i])));
  const logKeys = await logKeysVector(rootKeyHex, deps, frozen?.log_keys[0]);
  return {
    format: 'docs/formats/keys.md',
    instance_id: INSTANCE,
    identity: { created_at: CREATED_AT, file: formatIdentity({ instanceId: INSTANCE, createdAt: CREATED_AT }) },
    root_keys: rootKeys,
    log_keys: [logKeys],
    refused_root_keys: rootKeys.flatMap((vector) => damaged(vector, [...rootKeyDamage, ...(vector.seal === 'passphrase' ? kdfDamage : keyfileDamage)])),
    refused_log_keys: damaged(logKeys, logKeysDamage(hexSecret(rootKeyHex, deps), deps)),
  };
}

/** As the service would have it: what is opened is destroyed by whoever asked for it. */
export function openerOf({ seal, opener_hex: hex }: Pick<RootKeyVector, 'seal' | 'opener_hex'>, deps: Pick<KeyPairDeps, 'memory'>): Opener {
  return { seal, secret: seal === 'passphrase' ? passphraseOf(Buffer.from(hex, 'hex')) : hexSecret(hex, deps) };
}

export function hexSecret(hex: string, { memory }: Pick<KeyPairDeps, 'memory'>): Secret {
  return lockSecret(Buffer.from(hex, 'hex'), memory);
}

async function rootKeyVector(plan: Omit<RootKeyVector, 'file'>, deps: KeysVectorDeps, frozen: RootKeyVector | undefined): Promise<RootKeyVector> {
  const rootKey = hexSecret(plan.root_key_hex, deps);
  const isSame = (other: Secret): boolean => macUnder(other, Buffer.alloc(0)).equals(macUnder(rootKey, Buffer.alloc(0)));
  const isKept = frozen !== undefined && await openRootKey(Buffer.from(frozen.file), INSTANCE, openerOf(plan, deps), deps.memory).then(isSame, () => false);
  return { ...plan, file: isKept ? frozen.file : await sealRootKey(rootKey, INSTANCE, openerOf(plan, deps), deps.memory) };
}

/** Keys that signed, keys that sign, and keys that were prepared. */
async function logKeysVector(rootKeyHex: string, deps: KeysVectorDeps, frozen: LogKeysVector | undefined): Promise<LogKeysVector> {
  const written = { text: '' };
  const vault = createVault({
    file: { read: async () => Buffer.from(written.text), replace: async (text) => { written.text = text; } },
    instanceId: INSTANCE, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: hexSecret(rootKeyHex, deps) }], INSTANCE, deps.memory), memory: deps.memory,
  });
  const set = (position: number, more: Omit<StoredSet, 'position' | 'keys'>): StoredSet => ({ position, ...more, keys: storedKeys(position, vault, deps) });
  const { keys, ...first } = set(0, { reason: 'start', made_at: CREATED_AT, from_index: 0, until: '2027-03-23T00:00:00.000Z', until_index: 4120 });
  await vault.save({
    sets: [{ ...first, keys: keys.map(({ vkey, alg }) => ({ vkey, alg })) }, set(1, { reason: 'scheduled', made_at: '2027-02-21T00:00:00.000Z', from_index: 4099 })],
    prepared: { set: set(2, { reason: 'command', made_at: '2027-05-01T00:00:00.000Z', from_index: 5000 }), until: '2027-05-31T00:00:00.000Z' },
  });
  const isKept = frozen !== undefined && isDeepStrictEqual(withoutChance(frozen.file), withoutChance(written.text)) && await opens(frozen.file, rootKeyHex, deps);
  return {
    name: 'stopped, signing and prepared keys',
    root_key_hex: rootKeyHex,
    derived: Object.values(INFO).map((info) => ({ info, key_hex: Buffer.from(hkdfSync('sha256', Buffer.from(rootKeyHex, 'hex'), INSTANCE, info, 32)).toString('hex') })),
    seeds: [1, 2].flatMap((position) => logKeyKinds.map(({ alg }) => ({ position, alg, seed_hex: seedOfKey(position, alg, deps).toString('hex') }))),
    file: isKept ? frozen.file : written.text,
  };
}

function seedOfKey(position: number, alg: string, { seedOf }: KeysVectorDeps): Buffer {
  return seedOf(`log keys ${position} ${alg}`, 32);
}

function storedKeys(position: number, vault: LogKeysVault, deps: KeysVectorDeps): readonly StoredKey[] {
  return logKeyKinds.map(({ alg, scheme, type }) => {
    const seed = seedOfKey(position, alg, deps);
    const vkey = formatVkey(vkeyOf(originOf(INSTANCE), type, deps.signatures[scheme].signerFromSeed(seed).publicBytes));
    const { nonce_b64, sealed_b64 } = vault.seal(new Secret(seed), position, vkey);
    return { vkey, alg, nonce_b64, sealed_b64 };
  });
}

async function opens(file: string, rootKeyHex: string, { signatures, memory }: KeyPairDeps): Promise<boolean> {
  const read = async (): Promise<Buffer> => Buffer.from(file);
  const opened = openLogSigner({ file: { read, replace: async () => undefined }, instanceId: INSTANCE, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: hexSecret(rootKeyHex, { memory }) }], INSTANCE, memory), signatures, memory, keyOverlapMs: 0 });
  return opened.then(() => true, () => false);
}

/** All of a file that is the same each time. */
function withoutChance(file: string): unknown {
  return JSON.parse(file, (name, value: unknown) => (['nonce_b64', 'sealed_b64', 'mac_b64'].includes(name) ? '' : value));
}

type Content = Record<string, unknown>;
type Damage = readonly [name: string, change: (file: Content) => Content];

const rootKeyDamage: readonly Damage[] = [
  ['of another version', (file) => ({ ...file, v: 2 })],
  ['of another instance', (file) => ({ ...file, instance_id: INSTANCE.replace(/b$/, 'c') })],
  ['with a member more', (file) => ({ ...file, note: '' })],
  ['with another nonce', (file) => ({ ...file, nonce_b64: flipped(file['nonce_b64']) })],
  ['with another bit in what is sealed', (file) => ({ ...file, sealed_b64: flipped(file['sealed_b64']) })],
];

const kdfDamage: readonly Damage[] = [
  ['that says it is under a key file', (file) => ({ ...without(file, 'kdf'), seal: 'keyfile' })],
  ['with less memory than is opened', (file) => withKdf(file, { memory_kib: 65_535 })],
  ['with more memory than is opened', (file) => withKdf(file, { memory_kib: 4_194_305 })],
  ['with fewer passes than are opened', (file) => withKdf(file, { passes: 2 })],
  ['with one pass more than it was made with', (file) => withKdf(file, { passes: 4 })],
  ['with two lanes', (file) => withKdf(file, { parallelism: 2 })],
  ['with another salt', (file) => withKdf(file, { salt_b64: flipped((file['kdf'] as Content)['salt_b64']) })],
  ['with a salt that is too short', (file) => withKdf(file, { salt_b64: 'c2FsdA==' })],
];

const keyfileDamage: readonly Damage[] = [
  ['that says it is under a passphrase', (file) => ({ ...file, seal: 'passphrase' })],
];

/** With a MAC made anew it is the seal of a seed that refuses. */
function logKeysDamage(rootKey: Secret, { memory }: KeyPairDeps): readonly Damage[] {
  const fileKey = deriveKey(rootKey, { info: INFO.file, instanceId: INSTANCE }, memory);
  const remade = (file: Content): Content => ({ ...file, mac_b64: macUnder(fileKey, Buffer.from(canonicalJson(without(file, 'mac_b64')))).toString('base64') });
  return [
    ['of another version', (file) => ({ ...file, v: 2 })],
    ['of another instance', (file) => ({ ...file, instance_id: INSTANCE.replace(/b$/, 'c') })],
    ['without its MAC', (file) => without(file, 'mac_b64')],
    ['with another bit in its MAC', (file) => ({ ...file, mac_b64: flipped(file['mac_b64']) })],
    ['with a member more', (file) => ({ ...file, note: '' })],
    ['with keys that sign longer', (file) => withSets(file, ([first, ...sets]) => [{ ...first, until_index: 4121 }, ...sets])],
    ['without its oldest keys', (file) => withSets(file, ([, second]) => [second])],
    ['without the prepared keys', (file) => without(file, 'prepared')],
    ['with the seeds of a set in another place, and a MAC made anew', (file) => remade(withSets(file, ([first, second]) => [first, { ...second, position: 2 }]))],
    ['with two seeds swapped, and a MAC made anew', (file) => remade(withSets(file, ([first, second]) => [first, { ...second, keys: swapped(second['keys'] as Content[]) }]))],
  ];
}

function damaged({ name: of, file }: { readonly name: string; readonly file: string }, changes: readonly Damage[]): readonly RefusedKeyFile[] {
  return changes.map(([name, change]) => ({ name, of, file: `${JSON.stringify(change(JSON.parse(file) as Content))}\n` }));
}

function without(file: Content, name: string): Content {
  return Object.fromEntries(Object.entries(file).filter(([member]) => member !== name));
}

function withKdf(file: Content, change: Content): Content {
  return { ...file, kdf: { ...(file['kdf'] as Content), ...change } };
}

function withSets(file: Content, change: (sets: [Content, Content]) => readonly Content[]): Content {
  return { ...file, sets: change(file['sets'] as [Content, Content]) };
}

function swapped([one, other]: readonly Content[]): readonly Content[] {
  const { nonce_b64, sealed_b64 } = other ?? {};
  return [{ ...one, nonce_b64, sealed_b64 }, { ...other, nonce_b64: one?.['nonce_b64'], sealed_b64: one?.['sealed_b64'] }];
}

function flipped(base64: unknown): string {
  const bytes = Buffer.from(String(base64), 'base64');
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  return bytes.toString('base64');
}
