import type { Secret } from '../../core/secret.ts';
import type { DeviceSealed, KeyDevice } from '../root-key/key-device.ts';
import type { TpmSealed } from './sealed-data.ts';
import type { Tpm } from './tpm.ts';
import { REVEAL } from '../../core/reveal.ts';
import { DeviceRefused } from '../root-key/key-device.ts';
import { TpmFault } from './faults.ts';
import { sealToTpm, unsealFromTpm } from './sealed-data.ts';

export interface TpmKeyDeviceDeps {
  readonly tpm: Tpm;
  /** What the machine has to look like; in the SHA-256 bank. */
  readonly pcrs: readonly number[];
  readonly pin: Secret | undefined;
}

/** A root key that this TPM alone gives back, in this state, for this PIN. */
export function createTpmKeyDevice({ tpm, pcrs, pin }: TpmKeyDeviceDeps): KeyDevice {
  const readPin = (): Buffer | undefined => pin?.read(REVEAL);
  return {
    seal: async (key) => ({ ...await sealToTpm(tpm, key, { pcrs, pin: readPin() }) }),
    async unseal(sealed) {
      if (!isTpmSealed(sealed)) throw new DeviceRefused('root-key.json does not hold what a TPM sealed');
      try {
        return await unsealFromTpm(tpm, sealed, readPin());
      } catch (fault) {
        throw fault instanceof TpmFault && fault.kind !== 'gone' && fault.kind !== 'busy' ? new DeviceRefused(fault.message, { cause: fault }) : fault;
      }
    },
    close: async () => pin?.destroy(),
  };
}

function isTpmSealed(sealed: DeviceSealed): sealed is DeviceSealed & TpmSealed {
  const { parent_b64: parent, public_b64: publicArea, private_b64: privateArea, pcrs, pin } = sealed;
  return [parent, publicArea, privateArea].every((text) => typeof text === 'string') && typeof pin === 'boolean'
    && Array.isArray(pcrs) && pcrs.every((pcr) => Number.isInteger(pcr) && pcr >= 0 && pcr < 24);
}
