import type { Tpm } from '../adapters/tpm/tpm.ts';
import type { KeyDevice } from '../adapters/root-key/key-device.ts';
import type { DeviceSources } from './device-sources.ts';
import { createTpmKeyDevice } from '../adapters/tpm/key-device.ts';
import { createTpm } from '../adapters/tpm/tpm.ts';
import { readPassphrase } from '../adapters/root-key/passphrase.ts';
import { readPin } from './pin.ts';

/** The TPM that the settings name. Nothing is asked of it yet. */
export function openTpm({ settings, environment }: Pick<DeviceSources, 'settings' | 'environment'>): Tpm {
  const ownerAuth = readPassphrase({ variable: settings['backends.tpm.owner_auth_env'], environment, credentialsDirectory: undefined, setting: 'backends.tpm.owner_auth_env' });
  return createTpm({ device: settings['backends.tpm.device'], ownerAuth });
}

/** It as what a root key lies under, with the PIN that somebody gives. */
export async function openTpmKeyDevice({ settings, environment, terminal }: DeviceSources, tpm: Tpm): Promise<KeyDevice> {
  const [variable, path] = [settings['backends.tpm.pin_env'], settings['backends.tpm.pin_path']];
  // Without a setting that says where it is, there is none: a TPM has the PCRs, too.
  const pin = variable === undefined && path === undefined ? undefined : await readPin({ of: 'the TPM', prefix: 'backends.tpm.pin', variable, path, environment, terminal });
  return createTpmKeyDevice({ tpm, pcrs: settings['backends.tpm.pcrs'], pin });
}
