import type { KeyRecord } from '../../core/key/record.ts';
import type { Committed, KeyQuery, KeyStore, Mutation, OperationRecord, StoreFault } from '../../ports/key-store.ts';
import type { ResealableStore } from '../../ports/resealing.ts';
import type { Processes } from '../audit-file/lock.ts';
import type { RootKeys } from '../root-key/root-keys.ts';
import type { OperationBody } from './wire.ts';
import type { DatabaseSync } from 'node:sqlite';
import type { KeyRing } from './mac-keys.ts';
import type { History } from './protocol.ts';
import type { StoredKey } from './reader.ts';
import type { StoreThread } from './thread.ts';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KmsError } from '../../core/errors.ts';
import { parseKid } from '../../core/key/kid.ts';
import { currentVersion } from '../../core/key/record.ts';
import { nodeFiles } from '../audit-file/file-layer.ts';
import { takeLock } from '../audit-file/lock.ts';
import { compare, scanRecords } from './check-records.ts';
import { openForReading } from './database.ts';
import { createGroupCommit } from './group-commit.ts';
import { createKeyCache } from './key-cache.ts';
import { createKeyRing, handOver, STORE_MAC_INFO } from './mac-keys.ts';
import { createNonceCounters } from './nonces.ts';
import { ChangedRow, createReader } from './reader.ts';
import { startThread } from './thread.ts';
import { changeOf, operationRow, scopeHashOf } from './wire.ts';

export interface FileStoreDeps {
  readonly directory: string;
  readonly rootKeys: RootKeys;
  /** Whether a store that is not there is made: only where nothing says that there was one. */
  readonly mayCreate: boolean;
  /** Keys whose records stay in memory. */
  readonly cacheKeysMax: number;
  readonly processes: Processes;
}

export interface FileStore extends KeyStore, ResealableStore {
  /** Empties the journal after a failed write, and after an erasure; to be called about once a second. */
  tick(): Promise<void>;
  /** Why it took no changes, since this was last asked. */
  takeWriteFaults(): readonly string[];
}

export const DATABASE_NAME = 'keys.db';

/** First versions looked at between two turns of the event loop. */
const LIST_SLICE = 128;

/** Key records in a SQLite database of one directory (docs/formats/store.md). Throws with what the operator has to do. */
export async function openFileStore({ directory, rootKeys, mayCreate, cacheKeysMax, processes }: FileStoreDeps): Promise<FileStore> {
  const path = join(directory, DATABASE_NAME);
  const isThere = existsSync(path);
  if (!isThere && !mayCreate) throw new Error(`${path} is not there, and the log tells of keys that were in it: put it back, or give the store of a backup with ron-kms restore`);
  if (!isThere) await nodeFiles.mkdir(directory);
  const release = await takeLock(nodeFiles, directory, processes);
  try {
    return await openLocked(path, rootKeys, cacheKeysMax, release);
  } catch (fault) {
    await release();
    throw new Error(`${path} cannot be opened: ${fault instanceof Error ? fault.message : 'not an error'}; nothing was changed in it`, { cause: fault });
  }
}

async function openLocked(path: string, rootKeys: RootKeys, cacheKeysMax: number, release: () => Promise<void>): Promise<FileStore> {
  const macKeys = () => rootKeys.epochs().map((epoch) => onItsWay(epoch, rootKeys));
  const thread = await startThread({ path, keys: macKeys(), epoch: rootKeys.current() });
  const ring = createKeyRing(macKeys());
  const database = openForReading(path);
  const { fault: found, history } = await check(thread, database, ring);
  const generations = [...history.generations];
  const reader = createReader({ database, ring, generationOf: (id) => generations[id] ?? 0 });
  const cache = createKeyCache(cacheKeysMax);
  const writeFaults: string[] = [];
  let fault = found;
  let badBases = new Set(Array.from(found?.kids ?? [], baseOf));
  let [generation, lastId] = [history.generation, Math.max(0, generations.findLastIndex((last) => last > 0))];
  /** Given to mutations that are not durable yet. */
  let [nextGeneration, nextId] = [generation + 1, lastId + 1];
  /** Keys as the mutations on their way to the disk leave them. */
  const underWay = new Map<string, StoredKey>();
  let isErasurePending = false;
  let latestMs = 0;

  const commits = createGroupCommit({
    write: (group) => thread.ask('commit', group),
    truncate: () => thread.ask('truncate'),
    expiredBefore: () => latestMs,
    onFailed(why) {
      writeFaults.push(why);
      underWay.clear();
      [nextGeneration, nextId] = [generation + 1, lastId + 1];
    },
  });
  thread.onEnd((why) => writeFaults.push(why));

  const foundChanged = (changed: unknown): never => {
    if (changed instanceof ChangedRow) {
      fault ??= { what: changed.message, kids: new Set([changed.kid]) };
      badBases = new Set([...badBases, baseOf(changed.kid)]);
    } else fault ??= { what: `the database is damaged: ${changed instanceof Error ? changed.message : 'not an error'}`, kids: new Set() };
    throw unavailable('the record of this key is not as the service left it');
  };

  const reading = <T>(read: () => T): T => {
    try {
      return read();
    } catch (changed) {
      return foundChanged(changed);
    }
  };

  const lookUp = (base: string): StoredKey | undefined => {
    if (badBases.has(base)) throw unavailable('the record of this key is not as the service left it');
    return cache.get(base) ?? reading(() => reader.find(base));
  };

  const stored = (base: string): StoredKey | undefined => {
    const found = lookUp(base);
    if (found !== undefined) cache.put(found);
    return found;
  };

  const requireWritable = (): void => {
    if (fault !== undefined) throw unavailable('the key store is not as the service left it; /readyz says how');
    if (!commits.isReady()) throw unavailable('the key store takes no changes; /readyz says more');
  };

  const commit = async ({ put, operation, intent }: Mutation): Promise<Committed> => {
    requireWritable();
    const at = nextGeneration;
    const key = put(at);
    const before = underWay.get(key.base) ?? stored(key.base);
    const { records, ids } = changeOf(before, key, nextId);
    nextGeneration++;
    nextId += records.filter(({ isNew }) => isNew).length;
    const after: StoredKey = { key, ids };
    underWay.set(key.base, after);
    await commits.commit({ generation: at, intent, records, ...(operation && { operation: operationRow(operation, key, ids) }) });
    generation = at;
    for (const { id, sealed } of records) {
      generations[id] = at;
      lastId = Math.max(lastId, id);
      isErasurePending ||= sealed === null;
    }
    cache.put(after);
    if (underWay.get(key.base) === after) underWay.delete(key.base);
    if (isErasurePending) await emptyJournal();
    return { generation: at, key };
  };

  /** What was erased is in the journal no more; when a reader is in the way, the next tick does it. */
  const emptyJournal = async (): Promise<void> => {
    isErasurePending = !(await thread.ask('truncate').catch(() => false));
  };

  const nonces = createNonceCounters((kid) => reading(() => {
    const id = reader.idOf(kid);
    return id === undefined ? undefined : reader.reservedNonces(id, kid);
  }));

  return {
    async find(base) {
      return stored(base)?.key;
    },

    async list(query) {
      const found: KeyRecord[] = [];
      let afterId = query.after === undefined ? 0 : (reading(() => reader.idOf(`${query.after ?? ''}#v1`)) ?? 0);
      for (;;) {
        const slice = reading(() => reader.firstVersions(afterId, query.tenant, LIST_SLICE));
        for (const { id, kid } of slice) {
          afterId = id;
          if (!mayMatch(kid, query) || badBases.has(baseOf(kid))) continue;
          const key = lookUp(baseOf(kid))?.key;
          if (key === undefined || !matches(key, query)) continue;
          if (found.length === query.limit) return { keys: found, next: found.at(-1)?.base ?? '' };
          found.push(key);
        }
        if (slice.length < LIST_SLICE) return { keys: found };
        // A query that finds little looks at much: others have their turn in between.
        await nextTurn();
      }
    },

    commit,

    async findOperation(scope, nowMs) {
      latestMs = Math.max(latestMs, nowMs);
      const row = reading(() => reader.operation(scopeHashOf(scope)));
      if (row === undefined || row.expiresAt <= nowMs) return undefined;
      const { body_hash: bodyHash, versions } = JSON.parse(row.body) as OperationBody;
      return { scope, bodyHash, expiresAtMs: row.expiresAt, key: reading(() => reader.keyAsLeft(versions)) } satisfies OperationRecord;
    },

    takeNonce: async (kid, asked) => nonces.take(kid, asked),

    async reserveNonces(kid, asked, intent) {
      requireWritable();
      const recordId = reading(() => reader.idOf(kid));
      if (recordId === undefined) throw new Error('nonces are of a version that is there');
      const end = nonces.endFor(kid, asked);
      const at = nextGeneration++;
      await commits.commit({ generation: at, intent, records: [], nonces: { recordId, kid, reservedEnd: String(end) } });
      generation = at;
      nonces.extend(kid, end);
      return at;
    },

    due: async (nowMs) => reading(() => reader.due(nowMs)).filter(({ base }) => !badBases.has(base)),
    generation: () => generation,
    intentsAbove: async (above) => reading(() => reader.intentsAbove(above)),
    integrity: () => fault,
    isReady: () => commits.isReady() && fault === undefined,

    async tick() {
      await commits.recover();
      if (isErasurePending) await emptyJournal();
    },
    takeWriteFaults: () => writeFaults.splice(0),

    async beginEpoch() {
      const epoch = rootKeys.current();
      ring.take(onItsWay(epoch, rootKeys));
      await thread.ask('beginEpoch', onItsWay(epoch, rootKeys));
    },

    async reseal(limit, reseal) {
      const rows = await thread.ask('sealedBefore', limit);
      const resealed = rows.map(({ id, kid, sealedGeneration, sealed }) => ({ id, sealed: reseal({ kid, sealedGeneration, blob: Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length) }) }));
      const progress = await thread.ask('putResealed', resealed, limit);
      for (const { kid } of rows) cache.drop(baseOf(kid));
      return progress;
    },

    async endEpochs() {
      await thread.ask('endEpochs');
      ring.keepOnly(rootKeys.current());
      cache.clear();
      await emptyJournal();
    },

    async close() {
      await commits.idle();
      reader.close();
      await thread.close();
      await release();
    },
  };
}

/** Two threads share it: the history is read on the one, the records on this one, where nothing else is to be done yet. */
async function check(thread: StoreThread, database: DatabaseSync, ring: KeyRing): Promise<{ readonly fault: StoreFault | undefined; readonly history: History }> {
  try {
    const scan = scanRecords(database, ring);
    const history = await thread.history;
    return { fault: compare(database, ring, history, scan), history };
  } catch (damage) {
    const history = await thread.history;
    return { fault: { what: `the database is damaged: ${damage instanceof Error ? damage.message : 'not an error'}`, kids: new Set() }, history };
  }
}

function onItsWay(epoch: string, rootKeys: RootKeys) {
  const key = rootKeys.derive(epoch, STORE_MAC_INFO);
  if (key === undefined) throw new Error('the root key of an epoch is there');
  try {
    return handOver(epoch, key);
  } finally {
    key.destroy();
  }
}

function unavailable(hint: string): KmsError {
  return new KmsError('StoreUnavailable', { hint });
}

function baseOf(kid: string): string {
  return kid.slice(0, kid.lastIndexOf('#v'));
}

/** What the kid alone tells: most of what a query leaves out is not even read. */
function mayMatch(kid: string, { purpose, alg }: KeyQuery): boolean {
  if (purpose === undefined && alg === undefined) return true;
  const parsed = parseKid(kid);
  return parsed !== undefined && (purpose === undefined || parsed.purpose === purpose) && (alg === undefined || parsed.alg === alg);
}

function matches(key: KeyRecord, { state, label, admits }: KeyQuery): boolean {
  return (state === undefined || currentVersion(key).state === state)
    && (label === undefined || (Object.hasOwn(key.labels, label.name) && key.labels[label.name] === label.value))
    && admits(key);
}
