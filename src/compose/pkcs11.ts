import type { TokenDevice } from '../adapters/custody-pkcs11/device.ts';
import type { Settings } from '../config/keys.ts';
import { openTokenDevice } from '../adapters/custody-pkcs11/device.ts';
import { reasonOf } from '../core/reason.ts';

interface Pkcs11Deps {
  readonly settings: Settings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** No key was ever made: what the service needs of its own on the token may be. */
  readonly mayCreate: boolean;
}

/** Opens the token that the settings name. Throws with what the operator has to do. */
export async function openPkcs11({ settings, environment, mayCreate }: Pkcs11Deps): Promise<TokenDevice> {
  const [modulePath, slotLabel, pinVariable] = [settings['backends.pkcs11.module_path'], settings['backends.pkcs11.slot_label'], settings['backends.pkcs11.pin_env']];
  if (modulePath === undefined || slotLabel === undefined || pinVariable === undefined) throw new Error('the settings were checked');
  const pin = environment[pinVariable];
  if (pin === undefined || pin === '') throw new Error(`backends.pkcs11.pin_env names ${pinVariable}, and that variable is not set`);
  try {
    return await openTokenDevice({ modulePath, slotLabel, pin, sessions: settings['backends.pkcs11.sessions'], mayCreate }, environment);
  } catch (fault) {
    throw new Error(`the token ${slotLabel} cannot be opened by ${modulePath}: ${reasonOf(fault)}`, { cause: fault });
  }
}
