import type { PrivatePartsDeps } from '../adapters/crypto/private-parts.ts';
import type { RootKeys } from '../adapters/root-key/root-keys.ts';
import type { NamedCustody } from '../adapters/custody-several/custody.ts';
import type { Settings } from '../config/keys.ts';
import type { Config } from '../config/load.ts';
import type { Devices } from './devices.ts';
import type { TokenDevice } from '../adapters/custody-pkcs11/device.ts';
import type { FileCustody } from '../adapters/custody-file/custody.ts';
import type { Custody } from '../ports/custody.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { FileStore } from '../adapters/store-file/store.ts';
import { createFileCustody } from '../adapters/custody-file/custody.ts';
import { createPkcs11Custody, INSIDE_CLASS, WRAPPED_CLASS } from '../adapters/custody-pkcs11/custody.ts';
import { createStandby } from '../adapters/custody-pkcs11/standby.ts';
import { createInmemCustody } from '../adapters/custody-inmem/custody.ts';
import { openFileStore } from '../adapters/store-file/store.ts';
import { createInmemStore } from '../adapters/store-inmem/store.ts';
import { systemProcesses } from '../adapters/system/processes.ts';
import { createSeveralCustody } from '../adapters/custody-several/custody.ts';
import { epochOf } from '../adapters/custody-file/sealed-blob.ts';
import { createCloudCustody, SEALED_CLASS, WRAPPING_CLASS } from '../adapters/custody-cloud/custody.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { createSystemRandom } from '../adapters/system/random.ts';
import { openCloudKms } from './cloud.ts';
import { aeads } from '../core/algorithm/table.ts';

/** Who holds the keys, and what is known of them. */
export interface Backend {
  readonly custody: Custody;
  readonly store: KeyStore;
  /** What of it lies under the root key. */
  readonly sealed?: { readonly store: FileStore; readonly custody: Pick<FileCustody, 'reseal'> };
  /** How many calls it takes at once; left out where this process does them. */
  readonly width?: number;
  /** To be called about once a second. */
  tick(): Promise<void>;
  /** Why changes could not be written, since this was last asked. */
  takeWriteFaults(): readonly string[];
  /** What of it does not work for now, while the rest goes on. */
  outage?(): string | undefined;
  /** Lets go of what is not in this process. */
  close(): Promise<void>;
}

export interface BackendDeps {
  readonly settings: Config['settings'];
  readonly parts: PrivatePartsDeps;
  /** Undefined under amnesia. */
  readonly rootKeys: RootKeys | undefined;
  /** The generation of the last mutation that the log tells of. */
  readonly loggedGeneration: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly devices: Devices;
}

/** Opens the backend of `service.backend`. Throws with what the operator has to do. */
export async function openBackend({ settings, parts, rootKeys, loggedGeneration, environment, devices }: BackendDeps): Promise<Backend> {
  if (settings['service.backend'] === 'inmem' || rootKeys === undefined) {
    return { custody: createInmemCustody(parts), store: createInmemStore({ firstGeneration: loggedGeneration }), tick: async () => undefined, takeWriteFaults: () => [], close: async () => undefined };
  }
  const cacheKeysMax = settings['backends.file.cache_keys'];
  const store = await openFileStore({ directory: settings['backends.file.dir'], rootKeys, mayCreate: loggedGeneration === 0, cacheKeysMax, processes: systemProcesses });
  try {
    const opening: Opening = { settings, parts, rootKeys, store, environment, devices, isNew: loggedGeneration === 0 };
    const authority = await openers[settings['service.backend']](opening);
    const readers: Opened[] = [];
    for (const name of settings['service.read_backends'] ?? []) readers.push(await openers[name](opening));
    const all = [authority, ...readers];
    const file = fileCustody(opening, 'file');
    return {
      store, tick: store.tick, takeWriteFaults: store.takeWriteFaults,
      custody: createSeveralCustody(authority, readers),
      ...(authority.width !== undefined && { width: authority.width }),
      // What another backend sealed lies under a key of its own, whatever the root key is; it names no epoch of ours.
      sealed: { store, custody: { reseal: (row) => (rootKeys.epochs().includes(epochOf(row.blob)) ? file.reseal(row) : row.blob) } },
      outage: () => all.flatMap(({ outage }) => outage?.() ?? [])[0],
      async close() {
        for (const { close } of all) await close?.();
      },
    };
  } catch (fault) {
    await store.close();
    throw fault;
  }
}

/** Some wait at each session, so that a message to the module's process carries several: with eight it was 0.42 of the module's own rate, with these 0.53. */
const CALLS_PER_SESSION = 4;
const TOKEN_WIDTH_MIN = 64;

interface Opening extends Pick<BackendDeps, 'settings' | 'parts' | 'environment' | 'devices'> {
  readonly rootKeys: RootKeys;
  readonly store: FileStore;
  /** No key was ever made. */
  readonly isNew: boolean;
}

interface Opened extends NamedCustody {
  readonly width?: number;
  outage?(): string | undefined;
  close?(): Promise<void> | void;
}

const openers: Readonly<Record<Exclude<Settings['service.backend'], 'inmem'>, (opening: Opening) => Promise<Opened>>> = {
  file: async (opening) => ({ name: 'file', classes: ['file'], custody: fileCustody(opening, 'file') }),
  tpm: async (opening) => ({ name: 'tpm', classes: ['tpm-sealed'], custody: fileCustody(opening, 'tpm-sealed') }),
  async pkcs11({ settings, parts, devices, store, isNew }) {
    const token = await devices.token();
    await haveOwnKeys(token, store, isNew);
    const standbyLabel = settings['service.allow_sign_fallback'] ? settings['backends.pkcs11.standby_slot_label'] : undefined;
    const standby = standbyLabel === undefined ? undefined : await createStandby({ open: () => devices.openStandby(standbyLabel), verify: (publicBytes, message, signature) => parts.primitives.signatures.Ed25519.verify(publicBytes, message, NO_CONTEXT, signature) });
    const custody = createPkcs11Custody({ ...parts, token, standby, cacheKeysMax: settings['backends.file.cache_keys'] });
    return {
      name: 'pkcs11', classes: [INSIDE_CLASS, WRAPPED_CLASS], width: Math.max(TOKEN_WIDTH_MIN, CALLS_PER_SESSION * settings['backends.pkcs11.sessions']), custody,
      outage: () => (custody.isStandingIn() ? `the token ${settings['backends.pkcs11.slot_label']} is out: ${standbyLabel} signs and opens in its place, and nothing is made or sealed` : undefined),
      close: async () => standby?.close(),
    };
  },
  async cloud(opening) {
    const { settings, environment } = opening;
    const kms = await openCloudKms({ settings, environment });
    const custody = createCloudCustody({ kms, file: fileCustody(opening, SEALED_CLASS), clock: systemClock, chance: createSystemRandom().chance });
    return { name: 'cloud', classes: [WRAPPING_CLASS, SEALED_CLASS], custody, outage: custody.outage, close: kms.close };
  },
};

function fileCustody({ settings, parts, rootKeys }: Opening, attestationClass: string): FileCustody {
  return createFileCustody({ ...parts, rootKeys, aead: AEADS[settings['backends.file.aead']], cacheKeysMax: settings['backends.file.cache_keys'], attestationClass });
}

/** What the custody needs of its own on the token is made before the token holds any key, and never again: a token without it is another one. */
async function haveOwnKeys(token: TokenDevice, store: KeyStore, isNew: boolean): Promise<void> {
  try {
    await token.haveOwnKeys(isNew);
  } catch (fault) {
    if (await holdsVersions(store, [INSIDE_CLASS, WRAPPED_CLASS])) throw fault;
    await token.haveOwnKeys(true);
  }
}

/** Only asked where the token has nothing: when the service moves to it, or when it was lost. */
async function holdsVersions(store: KeyStore, classes: readonly string[]): Promise<boolean> {
  for (let after: string | undefined; ;) {
    const { keys, next } = await store.list({ ...EVERY_KEY, after });
    if (keys.some(({ versions }) => versions.some(({ attestationClass }) => classes.includes(attestationClass)))) return true;
    if (next === undefined) return false;
    after = next;
  }
}

const NO_CONTEXT = Buffer.alloc(0);
const EVERY_KEY = { tenant: undefined, purpose: undefined, alg: undefined, state: undefined, label: undefined, admits: () => true, limit: 1000 } as const;
const AEADS = { chacha20poly1305: aeads['ChaCha20-Poly1305'], aes256gcm: aeads['AES-256-GCM'] } as const;
