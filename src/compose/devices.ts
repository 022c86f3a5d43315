import type { TokenDevice } from '../adapters/custody-pkcs11/device.ts';
import type { Tpm } from '../adapters/tpm/tpm.ts';
import type { DeviceSources } from './device-sources.ts';
import { openPkcs11 } from './pkcs11.ts';
import { openTpm } from './tpm.ts';

/** The devices that the settings name, each opened once, by who needs it first: custody, anchor, log keys and evidence share one. */
export interface Devices {
  tpm(): Tpm;
  token(): Promise<TokenDevice>;
  /** The second token, with the same PIN; each call opens it anew, and who asks closes it. */
  openStandby(slotLabel: string): Promise<TokenDevice>;
  close(): Promise<void>;
}

export function createDevices(sources: DeviceSources): Devices {
  let tpm: Tpm | undefined;
  let token: Promise<TokenDevice> | undefined;
  return {
    tpm: () => tpm ??= openTpm(sources),
    token: () => token ??= openPkcs11(sources),
    openStandby: (slotLabel) => openPkcs11({ ...sources, settings: { ...sources.settings, 'backends.pkcs11.slot_label': slotLabel } }),
    async close() {
      await (await token?.catch(() => undefined))?.close();
    },
  };
}
