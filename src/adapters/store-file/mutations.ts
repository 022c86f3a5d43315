import type { KeyCounts } from '../../core/key/counts.ts';
import type { Committed, Mutation } from '../../ports/key-store.ts';
import type { Findings } from './findings.ts';
import type { Generations } from './generations.ts';
import type { NonceCounters } from './nonces.ts';
import type { StoredKey } from './reader.ts';
import type { StoredKeys } from './stored-keys.ts';
import type { StoreThread } from './thread.ts';
import { unavailable } from './findings.ts';
import { createGroupCommit } from './group-commit.ts';
import { changeOf, operationRow } from './wire.ts';

export interface MutationsDeps {
  readonly thread: StoreThread;
  readonly findings: Findings;
  readonly keys: StoredKeys;
  readonly nonces: NonceCounters;
  readonly idOf: (kid: string) => number | undefined;
  /** Grows with the keys. */
  readonly counts: Pick<KeyCounts, 'add'>;
  /** By record id, that of its last change; grows with the mutations. */
  readonly generations: Generations;
  readonly generation: number;
  /** Operations that ended before are dropped. */
  readonly nowMs: () => number;
}

/** Takes mutations, numbers them, and has them written in groups. */
export interface Mutations {
  commit(mutation: Mutation): Promise<Committed>;
  reserveNonces(kid: string, asked: bigint | undefined, intent: number | undefined): Promise<number>;
  generation(): number;
  isReady(): boolean;
  /** Empties the journal after a failed write, and after an erasure; to be called about once a second. */
  tick(): Promise<void>;
  emptyJournal(): Promise<void>;
  /** Why changes were not taken, since this was last asked. */
  takeWriteFaults(): readonly string[];
  idle(): Promise<void>;
}

export function createMutations({ thread, findings, keys, nonces, idOf, counts, generations, nowMs, ...first }: MutationsDeps): Mutations {
  let { generation } = first;
  let lastId = generations.lastId();
  /** Given to mutations that are not durable yet. */
  let [nextGeneration, nextId] = [generation + 1, lastId + 1];
  /** Keys as the mutations on their way to the disk leave them. */
  const underWay = new Map<string, StoredKey>();
  const writeFaults: string[] = [];
  let isErasurePending = false;

  const commits = createGroupCommit({
    write: (group) => thread.ask('commit', group),
    truncate: () => thread.ask('truncate'),
    expiredBefore: nowMs,
    onFailed(why) {
      writeFaults.push(why);
      underWay.clear();
      [nextGeneration, nextId] = [generation + 1, lastId + 1];
    },
  });
  thread.onEnd((why) => writeFaults.push(why));

  const requireWritable = (): void => {
    if (findings.fault() !== undefined) throw unavailable('the key store is not as the service left it; /readyz says how');
    if (!commits.isReady()) throw unavailable('the key store takes no changes; /readyz says more');
  };

  /** What was erased is in the journal no more; when a reader is in the way, the next tick does it. */
  const emptyJournal = async (): Promise<void> => {
    isErasurePending = !(await thread.ask('truncate').catch(() => false));
  };

  return {
    async commit({ put, operation, intent }) {
      requireWritable();
      const at = nextGeneration;
      const key = put(at);
      const before = underWay.get(key.base) ?? keys.find(key.base);
      const { records, ids } = changeOf(before, key, nextId);
      const after: StoredKey = { key, ids };
      nextGeneration++;
      nextId += records.filter(({ isNew }) => isNew).length;
      underWay.set(key.base, after);
      await commits.commit({ generation: at, intent, records, ...(operation && { operation: operationRow(operation, key, ids) }) });
      generation = at;
      if (before === undefined) counts.add(key.tenant, key.alg);
      for (const { id, sealed } of records) {
        generations.set(id, at);
        lastId = Math.max(lastId, id);
        isErasurePending ||= sealed === null;
      }
      keys.put(after);
      if (underWay.get(key.base) === after) underWay.delete(key.base);
      if (isErasurePending) await emptyJournal();
      return { generation: at, key };
    },

    async reserveNonces(kid, asked, intent) {
      requireWritable();
      const recordId = findings.reading(() => idOf(kid));
      if (recordId === undefined) throw new Error('nonces are of a version that is there');
      const end = nonces.endFor(kid, asked);
      const at = nextGeneration++;
      await commits.commit({ generation: at, intent, records: [], nonces: { recordId, kid, reservedEnd: String(end) } });
      generation = at;
      nonces.extend(kid, end);
      return at;
    },

    generation: () => generation,
    isReady: () => commits.isReady() && findings.fault() === undefined,
    async tick() {
      await commits.recover();
      if (isErasurePending) await emptyJournal();
    },
    emptyJournal,
    takeWriteFaults: () => writeFaults.splice(0),
    idle: commits.idle,
  };
}
