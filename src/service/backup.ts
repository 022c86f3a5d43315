import type { AuditLog } from '../ports/audit-log.ts';
import type { BackedUpHead, BackupMade, Backups } from '../ports/backups.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authorise } from './authorise.ts';
import type { Caller, ClientCall } from './call.ts';
import { KmsError } from '../core/errors.ts';
import { reasonOf } from '../core/reason.ts';
import { eventOf } from './call.ts';
import { hashOfBody } from './mutate.ts';

export interface BackupDeps {
  readonly authorise: Authorise;
  readonly audit: AuditLog;
  /** Undefined where `backup.dir` is not set, or nothing is on disk. */
  readonly backups: Backups | undefined;
  /** A checkpoint over all entries, flushed. */
  readonly head: () => Promise<BackedUpHead>;
  readonly telemetry: Telemetry;
}

/** How the newest backup of this process is. */
export type BackupState =
  | { readonly state: 'none' | 'running' }
  | { readonly state: 'failed'; readonly why: string }
  | ({ readonly state: 'done' } & BackupMade);

export type BackupAnswer = BackupState & { readonly audit: { readonly index: number; readonly opId: string } };

/** One file with everything, made while the service goes on. */
export interface Backup {
  /** POST /admin/backup: it begins. Refused while one is under way. */
  start(call: ClientCall, body: Readonly<Record<string, unknown>>): Promise<BackupAnswer>;
  /** GET /admin/backup. */
  state(caller: Caller): Promise<BackupState>;
  /** Cuts off one that is under way: nothing is left of it. */
  stop(): Promise<void>;
}

const FLUSHED = { mustFlush: true };

export function makeBackup({ authorise, audit, backups, head, telemetry }: BackupDeps): Backup {
  let state: BackupState = { state: 'none' };
  let running: Promise<void> | undefined;
  const stopping = new AbortController();

  const requireBackups = (): Backups => {
    if (backups === undefined) throw new KmsError('Unsupported', { hint: 'set backup.dir, and backup.keyfile_path or backup.passphrase_env; a service under amnesia has nothing to back up' });
    return backups;
  };

  const run = async (own: Backups, call: ClientCall, inputHash: string): Promise<void> => {
    try {
      const made = await own.make(head, stopping.signal);
      await audit.append([eventOf(call, { inputHash, result: 'ok', reason: `sha256 ${made.sha256}` })], FLUSHED);
      state = { state: 'done', ...made };
      telemetry.event('info', 'backed_up', { file: made.file, generation: made.generation });
    } catch (fault) {
      const why = reasonOf(fault);
      state = { state: 'failed', why };
      telemetry.event('error', 'backup_failed', { why });
      // The log may be what has failed.
      await audit.append([eventOf(call, { inputHash, result: 'StoreUnavailable', reason: 'no backup was made' })], FLUSHED).catch(() => undefined);
    }
  };

  return {
    async start(call, body) {
      authorise.instance(call.caller, 'kms:admin');
      const own = requireBackups();
      if (state.state === 'running') throw new KmsError('Conflict', { hint: 'a backup is under way; GET /admin/backup says how it is' });
      const before = state;
      state = { state: 'running' };
      const inputHash = hashOfBody(body);
      const { firstIndex } = await audit.append([eventOf(call, { inputHash, result: 'intent' })], FLUSHED).catch((fault: unknown) => {
        state = before;
        throw fault;
      });
      call.isLogged = true;
      running = run(own, call, inputHash);
      return { ...state, audit: { index: firstIndex, opId: call.opId } };
    },

    async state(caller) {
      authorise.instance(caller, 'kms:admin');
      requireBackups();
      return state;
    },

    async stop() {
      stopping.abort(new Error('the service stops'));
      await running;
    },
  };
}
