import type { OpenedBackup } from '../adapters/backup-file/read-backup.ts';
import type { EntryDetail } from '../core/log/entry.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { KeyEntry } from '../service/known-ends.ts';
import type { AuditDeps } from './audit.ts';
import type { Instance } from './open-instance.ts';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { readAnchorRecord } from '../adapters/anchor-file/record.ts';
import { checkWholeLog } from '../adapters/audit-check/check-log.ts';
import { describeFault } from '../adapters/audit-check/faults.ts';
import { openLoggedEntries } from '../adapters/audit-check/logged-entries.ts';
import { originOf } from '../adapters/log-keys/identity.ts';
import { settlementsOf } from '../service/settle.ts';
import { openAudit } from './audit.ts';

/** How a backup stands to what is known of the time since. */
export interface Standing {
  /** Why going on with it loses something; undefined when nothing is newer than it. */
  readonly rollback: string | undefined;
  /** The log as far as it is known, for the next one to name. */
  readonly replaces: NonNullable<EntryDetail['replaces']>;
  /** What the log says of keys; nothing where there is no log. */
  readonly entries: Iterable<KeyEntry>;
  /** Every entry is the one that was signed: what they say was destroyed may be destroyed again. */
  readonly isWhole: boolean;
}

export interface StandingDeps extends Omit<AuditDeps, 'instance' | 'isLookingOnly' | 'begins'> {
  /** Undefined where there is no log. */
  readonly instance: Instance | undefined;
  readonly backup: Pick<OpenedBackup, 'header' | 'manifest'>;
  /** Of the backup. */
  readonly store: Pick<KeyStore, 'changesAbove'>;
  readonly onProgress: (done: number, total: number) => void;
}

/** Holds a backup against log and anchor, writing nothing. */
export async function standingOf(deps: StandingDeps): Promise<Standing> {
  return deps.instance === undefined ? withoutLog(deps) : againstLog(deps, deps.instance);
}

/** Only the backup, and perhaps the anchor, know of a log then. */
function withoutLog({ config: { settings }, backup: { header, manifest: { log } } }: StandingDeps): Standing {
  const origin = originOf(header.instance_id);
  const path = settings['audit.anchor'] === 'file' ? settings['audit.anchor_path'] : undefined;
  const anchor = path !== undefined && existsSync(path) ? readAnchorRecord(readFileSync(path)) : undefined;
  const isLater = anchor?.origin === origin && anchor.head.treeSize > log.size;
  return {
    rollback: `there is no log in audit.dir, so nobody knows what happened since the backup of ${header.created_at}${isLater ? `; the anchor has seen ${anchor.head.treeSize - log.size} more entries` : ''}`,
    replaces: isLater ? { origin, size: anchor.head.treeSize, root_hash: anchor.head.rootHash.toString('base64') } : { origin, size: log.size, root_hash: log.root_hash },
    entries: [],
    isWhole: false,
  };
}

async function againstLog({ backup: { header, manifest }, store, onProgress, ...deps }: StandingDeps, instance: Instance): Promise<Standing> {
  const directory = deps.config.settings['audit.dir'];
  const { log, signer, anchorFault } = await openAudit({ ...deps, instance, isLookingOnly: true });
  try {
    const proof = log.anchorProof();
    const replaces = proof === undefined
      ? { origin: log.origin, size: manifest.log.size, root_hash: manifest.log.root_hash }
      : { origin: log.origin, size: proof.treeSize, root_hash: proof.rootHash.toString('base64') };
    const vkeys = signer.keys().flatMap(({ vkey }) => parseVkey(vkey) ?? []);
    const { faults: [first] } = await checkWholeLog({ directory, vkeys, jobs: 1, onProgress });
    const whatIsWrong = log.integrityFault() ?? (first && describeFault(first)) ?? anchorFault;
    const logged = log.lastGeneration();
    const isCovered = settlementsOf(log.openIntents(), { logged, stored: manifest.generation, changes: await store.changesAbove(logged) }) !== undefined;
    const rollback = whatIsWrong !== undefined ? `the log itself is at odds: ${whatIsWrong}`
      : isCovered ? undefined
      : manifest.generation < logged ? `the backup of ${header.created_at} has generation ${manifest.generation}, and the log knows ${logged}: ${logged - manifest.generation} changes would be lost`
      : `the backup has generation ${manifest.generation}, and the log's last is ${logged}: an older copy of the log was put back`;
    return { rollback, replaces, entries: keyEntries(directory), isWhole: whatIsWrong === undefined };
  } finally {
    await log.stop();
  }
}

/** What can be read of them, up to where that ends. */
function* keyEntries(directory: string): Generator<KeyEntry> {
  if (!existsSync(join(directory, 'checkpoint'))) return;
  try {
    const log = openLoggedEntries(directory);
    if (log === undefined) return;
    for (const { bytes } of log.read(log.first, log.size)) yield JSON.parse(bytes.toString('utf8')) as KeyEntry;
  } catch {
    // Of a log that is damaged; the standing says that it is.
  }
}
