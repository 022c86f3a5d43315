import type { TokenDevice } from '../adapters/custody-pkcs11/device.ts';
import type { DeviceSources } from './device-sources.ts';
import { DeviceRefused } from '../adapters/root-key/key-device.ts';
import { openTokenDevice } from '../adapters/custody-pkcs11/device.ts';
import { reasonOf } from '../core/reason.ts';
import { REVEAL } from '../core/reveal.ts';
import { readPin } from './pin.ts';

/** Opens the token that the settings name. Throws with what the operator has to do. */
export async function openPkcs11({ settings, environment, terminal }: DeviceSources): Promise<TokenDevice> {
  const [modulePath, slotLabel] = [settings['backends.pkcs11.module_path'], settings['backends.pkcs11.slot_label']];
  if (modulePath === undefined || slotLabel === undefined) throw new Error('the settings were checked');
  const pin = await readPin({
    of: `the token ${slotLabel}`, prefix: 'backends.pkcs11.pin', variable: settings['backends.pkcs11.pin_env'], path: settings['backends.pkcs11.pin_path'], environment, terminal,
  });
  if (pin === undefined) throw new Error('the token asks for the PIN of its user, and nobody gives it: set backends.pkcs11.pin_env or backends.pkcs11.pin_path, or start it at a terminal');
  try {
    return await openTokenDevice({ modulePath, slotLabel, pin: pin.read(REVEAL).toString('utf8'), sessions: settings['backends.pkcs11.sessions'] }, environment);
  } catch (fault) {
    const says = `the token ${slotLabel} cannot be opened by ${modulePath}: ${reasonOf(fault)}`;
    throw says.includes('CKR_PIN') ? new DeviceRefused(says, { cause: fault }) : new Error(says, { cause: fault });
  } finally {
    pin.destroy();
  }
}
