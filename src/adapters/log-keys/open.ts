import type { LogDevices } from '../../ports/attestor.ts';
import type { LogSigner } from '../../ports/log-signer.ts';
import type { DurableFile } from '../files/durable-file.ts';
import type { KeyPairDeps } from './key-pair.ts';
import type { LogKeysVault, VaultDeps } from './vault.ts';
import { makeRootKey } from '../root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../root-key/root-keys.ts';
import { originOf } from './identity.ts';
import { createLogSigner, makeSet } from './signer.ts';
import { createVault } from './vault.ts';

export interface LogKeysDeps extends KeyPairDeps, VaultDeps {
  /** `audit.key_overlap`. */
  readonly keyOverlapMs: number;
  readonly isLookingOnly?: boolean;
  /** Given what authenticates the log's state, which a device may want for its own. */
  readonly devicesFor?: ((mac: (bytes: Buffer) => Buffer) => LogDevices) | undefined;
}

/** The signer with the keys that lie in the file. */
export function openLogSigner(deps: LogKeysDeps): Promise<LogSigner> {
  return openFrom(createVault(deps), deps);
}

/** Makes the first keys of a log, durable when it returns; its entry 0 is to announce them. */
export async function makeLogKeys({ nowMs, ...deps }: LogKeysDeps & { readonly nowMs: number }): Promise<LogSigner> {
  const vault = createVault(deps);
  const { set, keys } = await makeSet({ position: 0, reason: 'start', nowMs, fromIndex: 0 }, { ...deps, vault, origin: originOf(deps.instanceId), ...deps.devicesFor?.(vault.mac) });
  await vault.save({ sets: [set] });
  for (const { signer } of keys) signer.destroy();
  // Read back: what does not open now would not open later.
  return openFrom(vault, deps);
}

/** Keys for a log in RAM, sealed under a root key that was in RAM too: nothing is written, and nothing outlives the process. */
export async function createMemoryLogSigner(deps: Omit<LogKeysDeps, 'file' | 'rootKeys'> & { readonly nowMs: number }): Promise<LogSigner> {
  const key = makeRootKey(deps.memory);
  try {
    return await makeLogKeys({ ...deps, file: fileInRam(), rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key }], deps.instanceId, deps.memory) });
  } finally {
    key.destroy();
  }
}

async function openFrom(vault: LogKeysVault, deps: LogKeysDeps): Promise<LogSigner> {
  return createLogSigner({ ...deps, vault, origin: originOf(deps.instanceId), ...deps.devicesFor?.(vault.mac) }, await vault.load());
}

function fileInRam(): DurableFile {
  let content = '';
  return {
    read: async () => Buffer.from(content),
    async replace(next) {
      content = next;
    },
  };
}
