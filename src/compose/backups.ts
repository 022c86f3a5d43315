import type { SecretOpener } from '../adapters/root-key/root-key.ts';
import type { Log } from '../adapters/audit-log/log.ts';
import type { BackedUpHead, Backups } from '../ports/backups.ts';
import type { Clock } from '../ports/clock.ts';
import type { Backend } from './backend.ts';
import type { BackupOpenerDeps } from './backup-opener.ts';
import type { Instance } from './open-instance.ts';
import { createBackups } from '../adapters/backup-file/backups.ts';
import { KmsError } from '../core/errors.ts';
import { backupOpener } from './backup-opener.ts';

interface BackupsDeps extends BackupOpenerDeps {
  readonly instance: Instance | undefined;
  readonly backend: Backend;
  readonly clock: Clock;
}

/** Where backups are written; undefined where none can be made. */
export function openBackups({ instance, backend, clock, ...deps }: BackupsDeps): Backups | undefined {
  const directory = deps.settings['backup.dir'];
  if (directory === undefined || instance === undefined || backend.sealed === undefined) return undefined;
  return createBackups({ directory, instanceId: instance.instanceId, store: backend.sealed.store, rootKeys: instance.rootKeys, opener: () => requireOpener(deps), memory: deps.memory, clock });
}

/** Tries what backups are to lie under: a start is the time to hear that it is missing. */
export function tryBackupOpener(deps: BackupOpenerDeps): void {
  if (deps.settings['backup.dir'] !== undefined) requireOpener(deps).secret.destroy();
}

function requireOpener(deps: BackupOpenerDeps): SecretOpener {
  const given = backupOpener(deps);
  if (given === undefined) throw new Error('backups need one of backup.keyfile_path and backup.passphrase_env');
  return given;
}

/** The newest checkpoint, over all entries there are. */
export async function backedUpHead(log: Log): Promise<BackedUpHead> {
  await log.checkpointNow();
  const proof = log.anchorProof();
  if (proof === undefined) throw new KmsError('AuditUnavailable');
  const { origin, treeSize: size, rootHash, note } = proof;
  return { origin, size, rootHash, note };
}
