import type { LockedMemory } from '../system/locked-memory.ts';
import type { Kdf, KdfName } from './kdf.ts';
import type { Sealed } from './sealing.ts';
import { isDeepStrictEqual } from 'node:util';
import sodium from 'sodium-native';
import { canonicalJson } from '../../core/canonical-json.ts';
import { Secret } from '../../core/secret.ts';
import { parseStrictJson } from '../../core/strict-json.ts';
import { isKdf, keyFromPassphrase, newKdf } from './kdf.ts';
import { FIRST_EPOCH } from './root-keys.ts';
import { deriveKey, KEY_BYTES, open, seal } from './sealing.ts';

/** Under what a root key lies. */
export type SealName = 'keyfile' | 'passphrase';

/** What opens a root key: the key of a key file, or a passphrase. */
export interface Opener {
  readonly seal: SealName;
  readonly secret: Secret;
  /** How a passphrase is to be stretched in a file that is written; argon2id when left out. */
  readonly kdf?: KdfName;
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
}

/** What was given opens another root key, or none. */
export class WrongOpener extends Error {
  override readonly name = 'WrongOpener';
}

type Header = Omit<RootKeyFile, keyof Sealed>;

const EPOCH = /^[0-9a-f]{16}$/;
const DOMAIN = 'ron-kms/root-key/v1';
const KEYFILE_INFO = 'ron-kms::ron-kms::root::keyfile';

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
  const header: Header = { v: 1, instance_id: instanceId, ...(epoch !== FIRST_EPOCH && { epoch }), seal: opener.seal, ...(opener.seal === 'passphrase' && { kdf: newKdf(opener.kdf ?? 'argon2id') }) };
  const key = await sealingKeyOf(header, opener.secret, memory);
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
export async function sealedAnew(opened: OpenedRootKey, { secret }: Opener, kdf: Kdf, memory: LockedMemory): Promise<OpenedRootKey> {
  const header = { ...opened.header, kdf };
  return { ...opened, header, sealingKey: await sealingKeyOf(header, secret, memory) };
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
  const isAlike = before !== undefined && isDeepStrictEqual(before.header.kdf, header.kdf);
  const sealingKey = isAlike ? before.sealingKey : await sealingKeyOf(header, opener.secret, memory);
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

function sealingKeyOf({ kdf, instance_id: instanceId }: Header, secret: Secret, memory: LockedMemory): Promise<Secret> {
  if (kdf !== undefined) return keyFromPassphrase(secret, kdf, memory);
  return Promise.resolve(deriveKey(secret, { info: KEYFILE_INFO, instanceId }, memory));
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
  const { v, instance_id: instanceId, epoch, seal, kdf, nonce_b64: nonce, sealed_b64: sealed, ...more } = file as Record<string, unknown>;
  return v === 1 && Object.keys(more).length === 0
    && [instanceId, nonce, sealed].every((text) => typeof text === 'string')
    && (epoch === undefined || (typeof epoch === 'string' && EPOCH.test(epoch) && epoch !== FIRST_EPOCH))
    && (seal === 'passphrase' ? isKdf(kdf) : seal === 'keyfile' && kdf === undefined);
}
