import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { SecretOpener, SecretSealName } from '../adapters/root-key/root-key.ts';
import type { Settings } from '../config/keys.ts';
import { readKeyfile } from '../adapters/root-key/keyfile.ts';
import { readPassphrase } from '../adapters/root-key/passphrase.ts';

export interface BackupOpenerDeps {
  readonly settings: Settings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly memory: LockedMemory;
}

/** What backups lie under, as the settings name it; undefined where they do not, or not for this seal. Throws when it cannot be read. */
export function backupOpener({ settings, environment, memory }: BackupOpenerDeps, seal?: SecretSealName): SecretOpener | undefined {
  const { 'backup.keyfile_path': path, 'backup.passphrase_env': variable } = settings;
  if (path !== undefined && seal !== 'passphrase') return { seal: 'keyfile', secret: readKeyfile(path, memory, 'backup.keyfile_path') };
  if (variable === undefined || seal === 'keyfile') return undefined;
  const secret = readPassphrase({ variable, environment, credentialsDirectory: undefined, setting: 'backup.passphrase_env' });
  return secret && { seal: 'passphrase', secret, kdf: settings['backends.file.kdf'] };
}
