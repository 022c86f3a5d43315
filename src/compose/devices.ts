import type { TokenDevice } from '../adapters/custody-pkcs11/device.ts';
import type { Tpm } from '../adapters/tpm/tpm.ts';
import type { DeviceSources } from './device-sources.ts';
import { openPkcs11 } from './pkcs11.ts';
import { openTpm } from './tpm.ts';

/** The devices that the settings name, each opened once, by who needs it first: custody, anchor, log keys and evidence share one. */
export interface Devices {
  tpm(): Tpm;
  token(): Promise<TokenDevice>;
  close(): Promise<void>;
}

export function createDevices(sources: DeviceSources): Devices {
  let tpm: Tpm | undefined;
  let token: Promise<TokenDevice> | undefined;
  return {
    tpm: () => tpm ??= openTpm(sources),
    token: () => token ??= openPkcs11(sources),
    async close() {
      await (await token?.catch(() => undefined))?.close();
    },
  };
}
