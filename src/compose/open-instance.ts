import type { Opener } from '../adapters/root-key/root-key.ts';
import type { Keychain } from '../adapters/root-key/keychain.ts';
import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { Config } from '../config/load.ts';
import type { Settings } from '../config/keys.ts';
import { join } from 'node:path';
import { durableFile } from '../adapters/files/durable-file.ts';
import { readIdentity } from '../adapters/log-keys/identity.ts';
import { readKeyfile } from '../adapters/root-key/keyfile.ts';
import { readPassphrase } from '../adapters/root-key/passphrase.ts';
import { openKeychain } from '../adapters/root-key/keychain.ts';
import { closeOpener, WrongOpener } from '../adapters/root-key/root-key.ts';
import type { Devices } from './devices.ts';
import type { DeviceSealName, KeyDevice } from '../adapters/root-key/key-device.ts';
import type { DeviceSources, PassphraseTerminal } from './device-sources.ts';
import { createDevices } from './devices.ts';
import { deviceSealOf, openSealDevice } from './seal-device.ts';

/** What lies below `audit.dir` besides the log itself. */
export const INSTANCE_FILES = { identity: 'identity.json', rootKey: 'root-key.json', logKeys: 'log-keys.json' } as const;

/** What `ron-kms init` made, opened. */
export interface Instance {
  readonly instanceId: string;
  /** In locked memory; whoever opened the instance destroys them. */
  readonly rootKeys: Keychain;
}

/** At a terminal; what comes from a variable or a file does not become right by waiting. */
const TRIES = 3;
const PAUSE_MS = 1000;

export interface OpenInstanceDeps {
  readonly config: Config;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly credentialsDirectory: string | undefined;
  readonly memory: LockedMemory;
  /** Brings what the root key lies under up to date; who only looks changes nothing. */
  readonly isServing?: boolean;
  readonly terminal?: PassphraseTerminal | undefined;
  /** Who has a use for them besides lends them. */
  readonly devices?: Devices;
}

/** Opens the root key of the instance in `audit.dir` with what the operator gives. Throws with what is missing or wrong. */
export async function openInstance(deps: OpenInstanceDeps): Promise<Instance> {
  const { config: { settings }, memory } = deps;
  const { instanceId } = await readIdentity(durableFile(join(settings['audit.dir'], INSTANCE_FILES.identity)));
  const expected = settings['service.instance_id'];
  if (expected !== undefined && expected !== instanceId) throw new Error(`audit.dir holds the log of ${instanceId}, and service.instance_id is ${expected}: one of the two is another service's`);
  for (let attempt = 1; ; attempt++) {
    const { opener, isTyped } = await openerFrom(settings, deps);
    try {
      return await openInstanceWith(opener, { directory: settings['audit.dir'], instanceId, memory });
    } catch (fault) {
      if (!(fault instanceof WrongOpener) || !isTyped || attempt === TRIES) throw fault;
      await waitAfter(attempt, fault, deps.terminal);
    } finally {
      await closeOpener(opener);
    }
  }
}

/** Each wait is twice the one before: who sits there and guesses gets tired, on top of what the KDF takes. */
async function waitAfter(attempt: number, fault: Error, terminal: PassphraseTerminal | undefined): Promise<void> {
  const waitMs = PAUSE_MS * 2 ** (attempt - 1);
  terminal?.say(`${fault.message}; again in ${waitMs / 1000} s\n`);
  await terminal?.pause(waitMs);
}

/** The same with an opener that stays the caller's. */
export async function openInstanceWith(opener: Opener, { directory, instanceId, memory }: { readonly directory: string; readonly instanceId: string; readonly memory: LockedMemory }): Promise<Instance> {
  return { instanceId, rootKeys: await openKeychain({ path: join(directory, INSTANCE_FILES.rootKey), instanceId, opener, memory }) };
}

/** What an operator gives to open a root key with, and whether it was typed. Throws when nobody gives it. */
export async function openerFrom(settings: Settings, { environment, credentialsDirectory, memory, terminal, devices, isServing = false }: OpenInstanceDeps): Promise<{ readonly opener: Opener; readonly isTyped: boolean }> {
  const device = deviceSealOf(settings);
  if (device !== undefined) return { opener: { seal: device, device: await openLent(device, { settings, environment, terminal }, devices) }, isTyped: false };
  const keyfilePath = settings['backends.file.keyfile_path'];
  if (settings['backends.file.seal'] === 'keyfile' && keyfilePath !== undefined) return { opener: { seal: 'keyfile', secret: readKeyfile(keyfilePath, memory) }, isTyped: false };
  const given = readPassphrase({ variable: settings['backends.file.passphrase_env'], fd: settings['backends.file.passphrase_fd'], environment, credentialsDirectory });
  const secret = given ?? await terminal?.ask();
  if (secret === undefined) throw new Error('the root key lies under a passphrase, and nobody gives it: set backends.file.passphrase_env or _fd, lend it as the systemd credential ron-kms.passphrase, or start it at a terminal');
  return { opener: { seal: 'passphrase', secret, ...(isServing && { kdf: settings['backends.file.kdf'] }) }, isTyped: given === undefined };
}

/** With devices that are lent, or with its own, which it closes. */
async function openLent(seal: DeviceSealName, sources: DeviceSources, lent: Devices | undefined): Promise<KeyDevice> {
  if (lent !== undefined) return openSealDevice(seal, sources, lent);
  const own = createDevices(sources);
  const device = await openSealDevice(seal, sources, own);
  return {
    ...device,
    async close() {
      await device.close();
      await own.close();
    },
  };
}
