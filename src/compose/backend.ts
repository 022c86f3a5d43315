import type { PrivatePartsDeps } from '../adapters/crypto/private-parts.ts';
import type { RootKeys } from '../adapters/root-key/root-keys.ts';
import type { Config } from '../config/load.ts';
import type { Devices } from './devices.ts';
import type { TokenDevice } from '../adapters/custody-pkcs11/device.ts';
import type { FileCustody } from '../adapters/custody-file/custody.ts';
import type { Custody } from '../ports/custody.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { FileStore } from '../adapters/store-file/store.ts';
import { createFileCustody } from '../adapters/custody-file/custody.ts';
import { createPkcs11Custody } from '../adapters/custody-pkcs11/custody.ts';
import { createInmemCustody } from '../adapters/custody-inmem/custody.ts';
import { openFileStore } from '../adapters/store-file/store.ts';
import { createInmemStore } from '../adapters/store-inmem/store.ts';
import { systemProcesses } from '../adapters/system/processes.ts';
import { createCloudCustody } from '../adapters/custody-cloud/custody.ts';
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
  const common = { store, tick: store.tick, takeWriteFaults: store.takeWriteFaults };
  if (settings['service.backend'] === 'pkcs11') {
    const token = await openCustodyToken(devices, loggedGeneration === 0).catch(async (fault: unknown) => {
      await store.close();
      throw fault;
    });
    // What is sealed there lies under a key of the token's, whatever the root key is.
    return { ...common, custody: createPkcs11Custody({ ...parts, token, cacheKeysMax }), sealed: { store, custody: { reseal: ({ blob }) => blob } }, close: async () => undefined };
  }
  const file = createFileCustody({ ...parts, rootKeys, aead: AEADS[settings['backends.file.aead']], cacheKeysMax, ...(settings['service.backend'] === 'tpm' && { attestationClass: 'tpm-sealed' }) });
  if (settings['service.backend'] !== 'cloud') return { ...common, custody: file, sealed: { store, custody: file }, close: async () => undefined };
  const kms = await openCloudKms({ settings, environment });
  const custody = createCloudCustody({ kms, file, clock: systemClock, chance: createSystemRandom().chance });
  return { ...common, custody, sealed: { store, custody: file }, outage: custody.outage, close: async () => kms.close() };
}

/** No key was ever made: what the custody needs of its own on the token may be. */
async function openCustodyToken(devices: Devices, mayCreate: boolean): Promise<TokenDevice> {
  const token = await devices.token();
  await token.haveOwnKeys(mayCreate);
  return token;
}

const AEADS = { chacha20poly1305: aeads['ChaCha20-Poly1305'], aes256gcm: aeads['AES-256-GCM'] } as const;
