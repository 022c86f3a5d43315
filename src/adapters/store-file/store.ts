import type { KeyCounts } from '../../core/key/counts.ts';
import type { DatabaseSync } from 'node:sqlite';
import type { KeyStore, OperationRecord, StoreFault } from '../../ports/key-store.ts';
import type { ResealableStore } from '../../ports/resealing.ts';
import type { Processes } from '../audit-file/lock.ts';
import type { RootKeys } from '../root-key/root-keys.ts';
import type { KeyRing } from './mac-keys.ts';
import type { Mutations } from './mutations.ts';
import type { History, Snapshot } from './protocol.ts';
import type { StoreThread } from './thread.ts';
import type { OperationBody } from './wire.ts';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { nodeFiles } from '../audit-file/file-layer.ts';
import { takeLock } from '../audit-file/lock.ts';
import { compare, faultOf, orderScan, scanRecords } from './check-records.ts';
import { DATABASE_NAME, openForReading } from './database.ts';
import { createFindings } from './findings.ts';
import { createGenerations } from './generations.ts';
import { createKeyRing, onItsWay, onTheirWay } from './mac-keys.ts';
import { createMutations } from './mutations.ts';
import { createNonceCounters } from './nonces.ts';
import { createReader } from './reader.ts';
import { baseOf } from './record-name.ts';
import { takeSnapshot } from './snapshot.ts';
import { createStoredKeys } from './stored-keys.ts';
import { checkPartsInThread, startThread } from './thread.ts';
import { scopeHashOf } from './wire.ts';
import { createKeyCounts } from '../../core/key/counts.ts';
import { reasonOf } from '../../core/reason.ts';

export interface FileStoreDeps {
  readonly directory: string;
  readonly rootKeys: RootKeys;
  /** Whether a store that is not there is made: only where nothing says that there was one. */
  readonly mayCreate: boolean;
  /** Keys whose records stay in memory. */
  readonly cacheKeysMax: number;
  readonly processes: Processes;
}

export interface FileStore extends KeyStore, ResealableStore, Pick<Mutations, 'tick' | 'takeWriteFaults'> {
  /** Copies the database as it stands to a new file, checked; nothing waits for it. */
  snapshot(to: string, signal: AbortSignal): Promise<Snapshot>;
  /** What the start left for later: every public part that stands apart, and every page. What it finds is a fault from then on. Rejects when it is aborted. */
  checkParts(signal: AbortSignal): Promise<void>;
}

/** Key records in a SQLite database of one directory (docs/formats/store.md). Throws with what the operator has to do. */
export async function openFileStore({ directory, mayCreate, processes, ...deps }: FileStoreDeps): Promise<FileStore> {
  const path = join(directory, DATABASE_NAME);
  const isThere = existsSync(path);
  if (!isThere && !mayCreate) throw new Error(`${path} is not there, and the log tells of keys that were in it: put it back`);
  if (!isThere) await nodeFiles.mkdir(directory);
  const release = await takeLock(nodeFiles, directory, processes);
  try {
    return await openLocked({ path, release, ...deps });
  } catch (fault) {
    await release();
    throw new Error(`${path} cannot be opened: ${reasonOf(fault)}; nothing was changed in it`, { cause: fault });
  }
}

interface LockedDeps extends Pick<FileStoreDeps, 'rootKeys' | 'cacheKeysMax'> {
  readonly path: string;
  readonly release: () => Promise<void>;
}

async function openLocked({ path, release, rootKeys, cacheKeysMax }: LockedDeps): Promise<FileStore> {
  const thread = await startThread({ path, keys: onTheirWay(rootKeys), epoch: rootKeys.current() });
  const ring = createKeyRing(onTheirWay(rootKeys));
  const database = openForReading(path);
  const counts = createKeyCounts();
  const { found, history } = await check(thread, database, ring, counts);
  const generations = createGenerations(history.generations);
  const findings = createFindings(found);
  const reader = createReader({ database, ring, generationOf: generations.of, reading: findings.reading });
  const keys = createStoredKeys(reader, findings, cacheKeysMax);
  const nonces = createNonceCounters((kid) => findings.reading(() => {
    const id = reader.idOf(kid);
    return id === undefined ? undefined : reader.reservedNonces(id, kid);
  }));
  let latestMs = 0;
  const mutations = createMutations({ thread, findings, keys, nonces, idOf: reader.idOf, counts, generations, generation: history.generation, nowMs: () => latestMs });

  return {
    find: async (base) => keys.find(base)?.key,
    list: keys.list,
    commit: mutations.commit,

    async findOperation(scope, nowMs) {
      latestMs = Math.max(latestMs, nowMs);
      const row = findings.reading(() => reader.operation(scopeHashOf(scope)));
      if (row === undefined || row.expiresAt <= nowMs) return undefined;
      const { body_hash: bodyHash, versions } = JSON.parse(row.body) as OperationBody;
      return { scope, bodyHash, expiresAtMs: row.expiresAt, key: findings.reading(() => reader.keyAsLeft(versions)) } satisfies OperationRecord;
    },

    takeNonce: async (kid, asked) => nonces.take(kid, asked),
    reserveNonces: mutations.reserveNonces,
    isSpent: async (kid) => nonces.isSpent(kid),
    due: async (nowMs) => findings.reading(() => reader.due(nowMs)).filter(({ base }) => !findings.isBad(base)),
    keyCounts: () => counts,
    generation: mutations.generation,
    changesAbove: async (above) => findings.reading(() => reader.changesAbove(above)),
    integrity: findings.fault,
    isReady: mutations.isReady,
    tick: mutations.tick,
    takeWriteFaults: mutations.takeWriteFaults,

    snapshot: (to, signal) => takeSnapshot(path, to, rootKeys, signal),

    async beginEpoch() {
      const epoch = rootKeys.current();
      ring.take(onItsWay(epoch, rootKeys));
      await thread.ask('beginEpoch', onItsWay(epoch, rootKeys));
    },

    async reseal(limit, reseal) {
      const rows = await thread.ask('sealedBefore', limit);
      const resealed = rows.map(({ id, kid, sealedGeneration, sealed }) => ({ id, sealed: reseal({ kid, sealedGeneration, blob: Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length) }) }));
      const progress = await thread.ask('putResealed', resealed, limit);
      for (const { kid } of rows) keys.drop(baseOf(kid));
      return progress;
    },

    async endEpochs() {
      await thread.ask('endEpochs');
      ring.keepOnly(rootKeys.current());
      keys.clear();
      await mutations.emptyJournal();
    },

    async checkParts(signal) {
      if (found !== undefined) return;
      const more = await checkPartsInThread(path, signal).catch((fault: unknown) => {
        if (signal.aborted) throw fault;
        return [{ what: `the store could not be checked: ${reasonOf(fault)}` }];
      });
      if (more.length > 0) findings.add(faultOf(more));
    },

    async close() {
      await mutations.idle();
      reader.close();
      await thread.close();
      await release();
    },
  };
}

/** Two threads share it: the other one reads the history first, then both the records, as nothing else is to be done on this one yet. */
async function check(thread: StoreThread, database: DatabaseSync, ring: KeyRing, counts: KeyCounts): Promise<{ readonly found: StoreFault | undefined; readonly history: History }> {
  try {
    const order = orderScan(database);
    const others = thread.ask('scanRecords', order);
    // Damage that this thread comes upon first leaves it unheard.
    others.catch(() => undefined);
    const own = scanRecords(database, ring, order);
    const history = await thread.history;
    const scans = [own, await others];
    const found = compare(database, ring, history, scans);
    for (const [kind, number] of scans.flatMap(({ keys }) => [...keys])) {
      const [tenant = '', , alg = ''] = kind.split('/');
      counts.add(tenant, alg, number);
    }
    // Of a million records it is 120 MB, and the collector may not come by for long.
    for (const { digests } of [history, ...scans]) digests.buffer.transfer(0);
    return { found, history };
  } catch (damage) {
    const history = await thread.history;
    return { found: { what: `the database is damaged: ${reasonOf(damage)}`, kids: new Set() }, history };
  }
}
