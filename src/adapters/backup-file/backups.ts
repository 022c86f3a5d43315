import type { FileStore } from '../store-file/store.ts';
import type { Keychain } from '../root-key/keychain.ts';
import type { SecretOpener } from '../root-key/root-key.ts';
import type { HeldRootKey } from '../root-key/root-keys.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import type { BackedUpHead, BackupMade, Backups } from '../../ports/backups.ts';
import type { Clock } from '../../ports/clock.ts';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatRfc3339 } from '../../core/time.ts';
import { flushDirectory } from '../files/durable-file.ts';
import { newHeader, streamKeyOf } from './format.ts';
import { openBackup } from './read-backup.ts';
import { measure, writeBackup } from './write-backup.ts';

export interface BackupsDeps {
  /** `backup.dir`; it has to be there, as a medium that is not mounted is not to be written over. */
  readonly directory: string;
  readonly instanceId: string;
  readonly store: Pick<FileStore, 'snapshot'>;
  readonly rootKeys: Pick<Keychain, 'copies'>;
  /** What the next backup lies under; whoever asked destroys it. */
  readonly opener: () => SecretOpener;
  readonly memory: LockedMemory;
  readonly clock: Clock;
}

/** What a backup is made in: of its owner alone, and gone at the end. */
const WORK = '.kms-backup-';

/** Backups in files of a directory (docs/formats/backup.md). */
export function createBackups({ directory, instanceId, store, rootKeys, opener, memory, clock }: BackupsDeps): Backups {
  const makeIn = async (work: string, head: () => Promise<BackedUpHead>, signal: AbortSignal): Promise<BackupMade> => {
    const [databasePath, path] = [join(work, 'keys.db'), join(work, 'backup')];
    // A move to another root key may begin or end meanwhile: what lies in the copy lies under one of these.
    const before = rootKeys.copies();
    const { generation, records } = await store.snapshot(databasePath, signal).catch((fault: unknown) => {
      destroy(before);
      throw fault;
    });
    const held = [...before, ...rootKeys.copies()].filter(({ epoch }, i, all) => all.findIndex((one) => one.epoch === epoch) === i);
    const given = opener();
    try {
      const { origin, size, rootHash, note } = await head();
      const createdAt = formatRfc3339(clock.wallMs());
      const header = newHeader(given, instanceId, createdAt);
      const manifest = { generation, records, log: { origin, size, root_hash: rootHash.toString('base64'), checkpoint: note }, database: await measure(databasePath) };
      const key = await streamKeyOf(header, given.secret, memory);
      await writeBackup(path, { header, manifest, rootKeys: held, databasePath, signal }, key, memory).finally(() => key.destroy());
      await readAgain(path, signal);
      const file = `kms-${createdAt.replace(/[-:]|\.\d+/g, '')}-g${generation}.kmsbackup`;
      const { bytes, sha256 } = await measure(path);
      await rename(path, join(directory, file));
      await flushDirectory(directory);
      return { file, bytes, sha256, generation, records };
    } finally {
      given.secret.destroy();
      destroy(held);
    }
  };

  /** With the key as it is given, not as it was derived: that which will be there on the day. */
  const readAgain = async (path: string, signal: AbortSignal): Promise<void> => {
    const given = opener();
    const written = await openBackup(path, given.secret, memory).finally(() => given.secret.destroy());
    try {
      await written.readDatabase(async () => signal.throwIfAborted());
    } finally {
      await written.close();
    }
  };

  return {
    async make(head, signal) {
      await dropLeftOvers(directory);
      const work = await mkdtemp(join(directory, WORK));
      try {
        return await makeIn(work, head, signal);
      } finally {
        await rm(work, { recursive: true, force: true });
      }
    },
  };
}

/** Of a backup that a crash cut off; one process writes here. */
async function dropLeftOvers(directory: string): Promise<void> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw new Error(`backup.dir, ${directory}, cannot be read: make it, or mount what it is on`, { cause });
  });
  for (const name of names) if (name.startsWith(WORK)) await rm(join(directory, name), { recursive: true, force: true });
}

function destroy(keys: readonly HeldRootKey[]): void {
  for (const { key } of keys) key.destroy();
}
