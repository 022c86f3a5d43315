import type { OpenedBackup } from '../adapters/backup-file/read-backup.ts';
import type { PrivatePartsDeps } from '../adapters/crypto/private-parts.ts';
import type { Opener } from '../adapters/root-key/root-key.ts';
import type { RootKeys } from '../adapters/root-key/root-keys.ts';
import type { Config } from '../config/load.ts';
import type { LogKey } from '../ports/audit-reader.ts';
import type { KnownEnds } from '../service/known-ends.ts';
import type { AuditDeps, OpenedAudit } from './audit.ts';
import type { Instance } from './open-instance.ts';
import type { Log } from '../adapters/audit-log/log.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { KeyRecord } from '../core/key/record.ts';
import type { Standing } from './restore-standing.ts';
import type { Places } from './restore-swap.ts';
import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { DATABASE_NAME } from '../adapters/store-file/database.ts';
import { openFileStore } from '../adapters/store-file/store.ts';
import { durableFile, flushDirectory } from '../adapters/files/durable-file.ts';
import { formatIdentity } from '../adapters/log-keys/identity.ts';
import { makeLogKeys } from '../adapters/log-keys/open.ts';
import { makeRootKey, sealRootKey } from '../adapters/root-key/root-key.ts';
import { EPOCH_BYTES, movingRootKeys, rootKeysOf } from '../adapters/root-key/root-keys.ts';
import { systemProcesses } from '../adapters/system/processes.ts';
import { formatRfc3339 } from '../core/time.ts';
import { entriesAbove, knownEnds } from '../service/known-ends.ts';
import { settleIntents, settlementsOf } from '../service/settle.ts';
import { openAudit } from './audit.ts';
import { openBackend } from './backend.ts';
import { logDevicesOf } from './evidence.ts';
import { offlineChanges } from './offline-changes.ts';
import { INSTANCE_FILES, openInstanceWith } from './open-instance.ts';
import { stagedIn } from './restore-swap.ts';

/** What every step of a restore works with. */
export interface RestoreDeps extends Omit<AuditDeps, 'instance' | 'isLookingOnly' | 'begins'> {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly places: Places;
  readonly parts: PrivatePartsDeps;
  readonly backup: OpenedBackup;
  readonly backupSha256: string;
}

/** What a restore has done besides putting the keys back. */
export interface Carried extends KnownEnds {
  /** AEAD versions that only unwrap from now on. */
  readonly unwrapOnly: number;
}

/** A new instance under the keys of a backup. */
export interface Renewed extends Carried {
  readonly instanceId: string;
  /** What verifiers of the new log pin. */
  readonly keys: readonly LogKey[];
}

const NOTHING: KnownEnds = { ends: [], lost: [] };
const RESEALED_AT_ONCE = 256;

/** The database of the backup, in the place where it is prepared. Throws when any part of it is not as it was written. */
export async function unpack({ backup, places: { sealedDir } }: RestoreDeps, onProgress: (bytes: number) => void): Promise<void> {
  const directory = stagedIn(sealedDir);
  const file = await open(join(directory, DATABASE_NAME), 'wx', 0o600);
  try {
    await backup.readDatabase(async (bytes) => {
      await file.writeFile(bytes);
      onProgress(bytes.length);
    });
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The store where it is prepared, under its own root keys or while it is moved under others. */
export function openStaged({ places: { sealedDir } }: Pick<RestoreDeps, 'places'>, rootKeys: RootKeys) {
  return openFileStore({ directory: stagedIn(sealedDir), rootKeys, mayCreate: false, cacheKeysMax: 1000, processes: systemProcesses });
}

/** Puts all that lies under the root keys of the backup under that of the instance it is for. */
export async function moveUnder(deps: RestoreDeps, rootKeys: RootKeys, onProgress: (left: number, total: number) => void): Promise<void> {
  const { backup: { header, rootKeys: held }, parts, config } = deps;
  const moving = movingRootKeys(rootKeysOf(held, header.instance_id, parts.memory), rootKeys);
  if (moving.epochs().length === rootKeys.epochs().length) return;
  const { sealed, close } = await openBackend({ settings: stagedSettings(config, deps.places), parts, rootKeys: moving, loggedGeneration: deps.backup.manifest.generation, environment: deps.environment, devices: deps.devices });
  if (sealed === undefined) throw new Error('a restore is to a sealed store');
  const { store, custody } = sealed;
  try {
    await store.beginEpoch();
    for (;;) {
      const { left, total } = await store.reseal(RESEALED_AT_ONCE, custody.reseal);
      onProgress(left, total);
      if (left === 0) break;
    }
    await store.endEpochs();
  } finally {
    await Promise.all([store.close(), close()]);
  }
}

/** Goes on with the log that is there: the keys are in their place by now. */
export async function goOn(deps: RestoreDeps, instance: Instance): Promise<Carried> {
  return carryOver(deps, await openAudit({ ...deps, instance }), instance.rootKeys, deps.config);
}

/**
 * Prepares a new instance: a root key of its own, new keys for a new log whose entry 0 names the one before, the keys of the
 * backup under them, and what the log before knew to be held or destroyed. Durable when it returns, the identity last.
 */
export async function renew(deps: RestoreDeps, opener: Opener, standing: Standing, onProgress: (left: number, total: number) => void): Promise<Renewed> {
  const { places: { auditDir }, random, clock, parts: { memory }, backup: { manifest } } = deps;
  const directory = stagedIn(auditDir);
  const instanceId = random.uuidv7();
  const config = { ...deps.config, settings: { ...stagedSettings(deps.config, deps.places), 'audit.anchor': 'none' as const } };

  await makeNextRootKey(directory, instanceId, opener, deps);
  const instance = await openInstanceWith(opener, { directory, instanceId, memory });
  try {
    const signer = await makeLogKeys({
      file: durableFile(join(directory, INSTANCE_FILES.logKeys)), ...instance, signatures: deps.signatures, memory,
      keyOverlapMs: config.settings['audit.key_overlap'], nowMs: clock.wallMs(), devicesFor: await logDevicesOf(config.settings, deps.devices),
    });
    await moveUnder(deps, instance.rootKeys, onProgress);
    const audit = await openAudit({ ...deps, config, instance, begins: { replaces: standing.replaces, firstGeneration: manifest.generation } });
    const carried = await carryOver(deps, audit, instance.rootKeys, config, standing);
    await durableFile(join(directory, INSTANCE_FILES.identity)).replace(formatIdentity({ instanceId, createdAt: formatRfc3339(clock.wallMs()) }));
    await flushDirectory(auditDir);
    return { ...carried, instanceId, keys: signer.keys() };
  } finally {
    instance.rootKeys.destroy();
  }
}

/** Its epoch is random: no row of the backup has the same. */
async function makeNextRootKey(directory: string, instanceId: string, opener: Opener, { parts: { memory } }: RestoreDeps): Promise<void> {
  const key = makeRootKey(memory);
  try {
    await durableFile(join(directory, INSTANCE_FILES.rootKey)).replace(await sealRootKey(key, instanceId, opener, memory, randomBytes(EPOCH_BYTES).toString('hex')));
  } finally {
    key.destroy();
  }
}

/** By the rules of a service, with its entries; what is open is closed. */
async function carryOver({ clock, random, parts, environment, devices, backupSha256 }: RestoreDeps, audit: OpenedAudit, rootKeys: RootKeys, config: Config, standing?: Standing): Promise<Carried> {
  const { log } = audit;
  try {
    if (audit.anchorFault !== undefined) throw new Error(`the anchor knows better: ${audit.anchorFault}`);
    const { store, custody, close } = await openBackend({ settings: config.settings, parts, rootKeys, loggedGeneration: log.lastGeneration(), environment, devices });
    try {
      await settle(log, store);
      const changes = offlineChanges({ config, audit, store, custody, clock, random });
      const { ends, lost } = standing === undefined ? NOTHING : await endsSince(standing, store);
      await changes.endAgain(ends);
      const unwrapOnly = await changes.spendNonces();
      await changes.noteRestored(backupSha256, store.generation());
      return { ends, lost, unwrapOnly };
    } finally {
      await Promise.all([store.close(), close()]);
    }
  } finally {
    await log.stop();
  }
}

/** What a crash left open ends before anything new is written. */
async function settle(log: Log, store: KeyStore): Promise<void> {
  const logged = log.lastGeneration();
  const settlements = settlementsOf(log.openIntents(), { logged, stored: store.generation(), changes: await store.changesAbove(logged) });
  if (settlements === undefined) throw new Error('the restored store and the log do not fit together');
  await settleIntents(log, settlements);
}

/** Of a log that may have been changed nothing is destroyed at once: what it says was, is scheduled, and can be taken back. */
async function endsSince({ entries, isWhole }: Standing, store: KeyStore): Promise<KnownEnds> {
  const newer = entriesAbove(entries, store.generation());
  const keys = new Map<string, KeyRecord>();
  for (const base of new Set(newer.map(({ base: of }) => of))) {
    const key = await store.find(base);
    if (key !== undefined) keys.set(base, key);
  }
  const { ends, lost } = knownEnds(newer, keys);
  return { lost, ends: isWhole ? ends : ends.map(({ base, version, state }) => ({ base, version, state: state === 'destroyed' ? 'scheduled' : state })) };
}

function stagedSettings({ settings }: Config, { auditDir, sealedDir }: Places): Config['settings'] {
  return { ...settings, 'audit.dir': stagedIn(auditDir), 'backends.file.dir': stagedIn(sealedDir) };
}
