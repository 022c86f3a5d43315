import type { LockedMemory } from '../system/locked-memory.ts';
import type { Kdf, KdfName } from './kdf.ts';
import type { DeviceSealed, DeviceSealName, KeyDevice } from './key-device.ts';
import type { Sealed } from './sealing.ts';
import { isDeepStrictEqual } from 'node:util';
import sodium from 'sodium-native';
import { canonicalJson } from '../../core/canonical-json.ts';
import { REVEAL } from '../../core/reveal.ts';
import { Secret } from '../../core/secret.ts';
import { parseStrictJson } from '../../core/strict-json.ts';
import { isKdf, keyFromPassphrase, newKdf } from './kdf.ts';
import { FIRST_EPOCH } from './root-keys.ts';
import { deviceSealNames } from './key-device.ts';
import { deriveKey, KEY_BYTES, lockSecret, open, seal } from './sealing.ts';

/** A secret that a root key, or a backup, can lie under. */
export type SecretSealName = 'keyfile' | 'passphrase';
/** Under what a root key lies. */
export type SealName = SecretSealName | DeviceSealName;

/** What opens a root key: a secret that somebody gives, or a device. */
export type Opener = SecretOpener | DeviceOpener;

/** The key of a key file, or a passphrase. */
export interface SecretOpener {
  readonly seal: SecretSealName;
  readonly secret: Secret;
  /** How a passphrase is to be stretched in a file that is written; argon2id when left out. */
  readonly kdf?: KdfName;
}

interface DeviceOpener {
  readonly seal: DeviceSealName;
  readonly device: KeyDevice;
}

/** Whoever was given an opener is done with it. */
export async function closeOpener(opener: Opener): Promise<void> {
  if ('device' in opener) await opener.device.close();
  else opener.secret.destroy();
}

/** `root-key.json` below `audit.dir`. All of it is authenticated: what is not sealed stands in the AAD. */
interface RootKeyFile extends Sealed {
  readonly v: 1;
  readonly instance_id: string;
  /** Left out: of the root key that `init` made. */
  readonly epoch?: string;
  readonly seal: SealName;
  /** With a passphrase only. */
  readonly kdf?: Kdf;
  /** With a device only: the key that it took in. */
  readonly device?: DeviceSealed;
}

/** What was given opens another root key, or none. */
export class WrongOpener extends Error {
  override readonly name = 'WrongOpener';
}

type Header = Omit<RootKeyFile, keyof Sealed>;

const EPOCH = /^[0-9a-f]{16}$/;
const DOMAIN = 'ron-kms/root-key/v1';
const INFO = { keyfile: 'ron-kms::ron-kms::root::keyfile', device: 'ron-kms::ron-kms::root::device' } as const;

/** The key that every other key of an instance is derived from: 32 bytes of libsodium's generator, in locked memory. */
export function makeRootKey(memory: LockedMemory): Secret {
  const slot = memory.take(KEY_BYTES);
  sodium.randombytes_buf(slot);
  return new Secret(slot, memory.give);
}

/** An opened root key, with what another one can be sealed with in the same way. */
export interface OpenedRootKey {
  readonly rootKey: Secret;
  readonly epoch: string;
  readonly header: Omit<Header, 'epoch'>;
  readonly sealingKey: Secret;
}

/** The text of the file that keeps the root key of this instance. */
export async function sealRootKey(rootKey: Secret, instanceId: string, opener: Opener, memory: LockedMemory, epoch = FIRST_EPOCH): Promise<string> {
  const header: Header = { v: 1, instance_id: instanceId, ...(epoch !== FIRST_EPOCH && { epoch }), seal: opener.seal, ...await newSealOf(opener, instanceId, memory) };
  // By the same way as at every start: what does not open now would not open later.
  const key = await sealingKeyOf(header, opener, memory);
  try {
    return textOf(header, key, rootKey);
  } finally {
    key.destroy();
  }
}

/** The file of the next root key: under what the one before lies under, without asking for it again. */
export function sealAnother(rootKey: Secret, epoch: string, { header, sealingKey }: OpenedRootKey): string {
  return textOf({ ...header, ...(epoch !== FIRST_EPOCH && { epoch }) }, sealingKey, rootKey);
}

/** The same root key, to lie under the passphrase as this KDF stretches it. */
export async function sealedAnew(opened: OpenedRootKey, opener: SecretOpener, kdf: Kdf, memory: LockedMemory): Promise<OpenedRootKey> {
  const header = { ...opened.header, kdf };
  return { ...opened, header, sealingKey: await sealingKeyOf(header, opener, memory) };
}

async function newSealOf(opener: Opener, instanceId: string, memory: LockedMemory): Promise<Pick<Header, 'kdf' | 'device'>> {
  if (!('device' in opener)) return opener.seal === 'passphrase' ? { kdf: newKdf(opener.kdf ?? 'argon2id') } : {};
  const key = makeRootKey(memory);
  try {
    return { device: await opener.device.seal(key.read(REVEAL), placeOf(instanceId)) };
  } finally {
    key.destroy();
  }
}

function textOf(header: Header, key: Secret, rootKey: Secret): string {
  return `${JSON.stringify({ ...header, ...seal(key, rootKey, aadOf(header)) })}\n`;
}

/**
 * The root key, in locked memory. Throws with what the operator can do; never with what was in the file. `before` is
 * one that was opened in the same way: what stretching a passphrase gave is used again.
 */
export async function openRootKeyFile(bytes: Buffer, instanceId: string, opener: Opener, memory: LockedMemory, before?: OpenedRootKey): Promise<OpenedRootKey> {
  const { nonce_b64, sealed_b64, ...header } = parseRootKeyFile(bytes);
  if (header.instance_id !== instanceId) throw new Error(`root-key.json is of the instance ${header.instance_id}, and identity.json beside it says ${instanceId}`);
  if (header.seal !== opener.seal) throw new Error(`the root key lies under a ${header.seal}: set backends.file.seal = "${header.seal}"`);
  const isAlike = before !== undefined && isDeepStrictEqual([before.header.kdf, before.header.device], [header.kdf, header.device]);
  const sealingKey = isAlike ? before.sealingKey : await sealingKeyOf(header, opener, memory);
  const rootKey = open(sealingKey, { nonce_b64, sealed_b64 }, aadOf(header), memory);
  const { epoch = FIRST_EPOCH, ...rest } = header;
  if (rootKey !== undefined) return { rootKey, epoch, header: rest, sealingKey };
  if (!isAlike) sealingKey.destroy();
  throw new WrongOpener(`the root key does not open: this is the wrong ${opener.seal}, or root-key.json was changed`);
}

/** As `openRootKeyFile`, for who needs the key alone. */
export async function openRootKey(bytes: Buffer, instanceId: string, opener: Opener, memory: LockedMemory): Promise<Secret> {
  const { rootKey, sealingKey } = await openRootKeyFile(bytes, instanceId, opener, memory);
  sealingKey.destroy();
  return rootKey;
}

async function sealingKeyOf({ kdf, device, instance_id: instanceId }: Header, opener: Opener, memory: LockedMemory): Promise<Secret> {
  if ('device' in opener) {
    if (device === undefined) throw new Error('root-key.json says nothing of a device');
    const key = lockSecret(await opener.device.unseal(device, placeOf(instanceId)), memory);
    try {
      return deriveKey(key, { info: INFO.device, instanceId }, memory);
    } finally {
      key.destroy();
    }
  }
  return kdf === undefined ? deriveKey(opener.secret, { info: INFO.keyfile, instanceId }, memory) : keyFromPassphrase(opener.secret, kdf, memory);
}

function placeOf(instanceId: string): string {
  return `${DOMAIN}/${instanceId}`;
}

function aadOf(header: Header): string {
  return `${DOMAIN}\n${canonicalJson(header)}`;
}

function parseRootKeyFile(bytes: Buffer): RootKeyFile {
  try {
    const file = parseStrictJson(bytes);
    if (isRootKeyFile(file)) return file;
  } catch {
    // Not JSON is not a root key either; what stands there is not repeated.
  }
  throw new Error('root-key.json cannot be read: it is not a root key of this version, or asks for less or more of its KDF than is done here');
}

function isRootKeyFile(file: object): file is RootKeyFile {
  const { v, instance_id: instanceId, epoch, seal, kdf, device, nonce_b64: nonce, sealed_b64: sealed, ...more } = file as Record<string, unknown>;
  return v === 1 && Object.keys(more).length === 0
    && [instanceId, nonce, sealed].every((text) => typeof text === 'string')
    && (epoch === undefined || (typeof epoch === 'string' && EPOCH.test(epoch) && epoch !== FIRST_EPOCH))
    && (seal === 'passphrase' ? isKdf(kdf) : kdf === undefined)
    && (deviceSealNames.some((name) => name === seal) ? typeof device === 'object' && device !== null : (seal === 'passphrase' || seal === 'keyfile') && device === undefined);
}
