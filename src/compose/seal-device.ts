import type { DeviceSealName, KeyDevice } from '../adapters/root-key/key-device.ts';
import type { Settings } from '../config/keys.ts';
import type { Devices } from './devices.ts';
import type { DeviceSources } from './device-sources.ts';
import { createTokenKeyDevice } from '../adapters/custody-pkcs11/key-device.ts';
import { deviceSealNames } from '../adapters/root-key/key-device.ts';
import { openCloudKeyDevice } from './cloud.ts';
import { openTpmKeyDevice } from './tpm.ts';

/** What several have a use for is closed by its owner. */
const openers: Readonly<Record<DeviceSealName, (sources: DeviceSources, devices: Devices) => Promise<KeyDevice>>> = {
  tpm: (sources, devices) => openTpmKeyDevice(sources, devices.tpm()),
  pkcs11: async (_sources, devices) => createTokenKeyDevice({ ...await devices.token(), close: async () => undefined }),
  cloud: openCloudKeyDevice,
};

/** Which device the root key lies under; undefined where it is a secret that somebody gives. */
export function deviceSealOf(settings: Settings): DeviceSealName | undefined {
  return deviceSealNames.find((name) => name === settings['backends.file.seal']);
}

/** Throws with what the operator has to do. */
export function openSealDevice(seal: DeviceSealName, sources: DeviceSources, devices: Devices): Promise<KeyDevice> {
  return openers[seal](sources, devices);
}
