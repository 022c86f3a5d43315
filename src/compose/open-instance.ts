import type { Opener } from '../adapters/root-key/root-key.ts';
import type { Keychain } from '../adapters/root-key/keychain.ts';
import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { Config } from '../config/load.ts';
import type { Settings } from '../config/keys.ts';
import type { Secret } from '../core/secret.ts';
import { join } from 'node:path';
import { durableFile } from '../adapters/files/durable-file.ts';
import { readIdentity } from '../adapters/log-keys/identity.ts';
import { readKeyfile } from '../adapters/root-key/keyfile.ts';
import { readPassphrase } from '../adapters/root-key/passphrase.ts';
import { openKeychain } from '../adapters/root-key/keychain.ts';

/** What lies below `audit.dir` besides the log itself. */
export const INSTANCE_FILES = { identity: 'identity.json', rootKey: 'root-key.json', logKeys: 'log-keys.json' } as const;

/** What `ron-kms init` made, opened. */
export interface Instance {
  readonly instanceId: string;
  /** In locked memory; whoever opened the instance destroys them. */
  readonly rootKeys: Keychain;
}

export interface OpenInstanceDeps {
  readonly config: Config;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly credentialsDirectory: string | undefined;
  readonly memory: LockedMemory;
  /** Brings what the root key lies under up to date; who only looks changes nothing. */
  readonly isServing?: boolean;
  /** Asks somebody at a terminal; undefined where nobody sits. */
  readonly askPassphrase?: () => Promise<Secret | undefined>;
}

/** Opens the root key of the instance in `audit.dir` with what the operator gives. Throws with what is missing or wrong. */
export async function openInstance(deps: OpenInstanceDeps): Promise<Instance> {
  const { config: { settings }, memory } = deps;
  const { instanceId } = await readIdentity(durableFile(join(settings['audit.dir'], INSTANCE_FILES.identity)));
  const expected = settings['service.instance_id'];
  if (expected !== undefined && expected !== instanceId) throw new Error(`audit.dir holds the log of ${instanceId}, and service.instance_id is ${expected}: one of the two is another service's`);
  const opener = await openerFrom(settings, deps);
  return openInstanceWith(opener, { directory: settings['audit.dir'], instanceId, memory }).finally(() => opener.secret.destroy());
}

/** The same with an opener that stays the caller's. */
export async function openInstanceWith(opener: Opener, { directory, instanceId, memory }: { readonly directory: string; readonly instanceId: string; readonly memory: LockedMemory }): Promise<Instance> {
  return { instanceId, rootKeys: await openKeychain({ path: join(directory, INSTANCE_FILES.rootKey), instanceId, opener, memory }) };
}

/** What the operator gives to open a root key with. Throws when nobody gives it. */
export async function openerFrom(settings: Settings, { environment, credentialsDirectory, memory, askPassphrase, isServing = false }: OpenInstanceDeps): Promise<Opener> {
  const keyfilePath = settings['backends.file.keyfile_path'];
  if (settings['backends.file.seal'] === 'keyfile' && keyfilePath !== undefined) return { seal: 'keyfile', secret: readKeyfile(keyfilePath, memory) };
  const passphrase = readPassphrase({ variable: settings['backends.file.passphrase_env'], fd: settings['backends.file.passphrase_fd'], environment, credentialsDirectory }) ?? await askPassphrase?.();
  if (passphrase === undefined) throw new Error('the root key lies under a passphrase, and nobody gives it: set backends.file.passphrase_env or _fd, lend it as the systemd credential ron-kms.passphrase, or start it at a terminal');
  return { seal: 'passphrase', secret: passphrase, ...(isServing && { kdf: settings['backends.file.kdf'] }) };
}
