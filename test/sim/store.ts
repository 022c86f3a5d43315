import type { NonceCounters } from '../../src/adapters/store-file/nonces.ts';
import type { KeyStore, OperationRecord, StoredChange } from '../../src/ports/key-store.ts';
import type { KeyRecord } from '../../src/core/key/record.ts';
import { currentVersion } from '../../src/core/key/record.ts';
import { KmsError } from '../../src/core/errors.ts';
import { createNonceCounters } from '../../src/adapters/store-file/nonces.ts';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';

/** What of a key store outlives its process. A commit replaces it whole, so a crash finds the one before or the one behind. */
export interface StoreImage {
  readonly generation: number;
  readonly keys: ReadonlyMap<string, KeyRecord>;
  readonly operations: ReadonlyMap<string, OperationRecord>;
  readonly nonceEnds: ReadonlyMap<string, bigint>;
  /** Of each generation, from the first. */
  readonly changes: readonly StoredChange[];
}

export const EMPTY_STORE: StoreImage = { generation: 0, keys: new Map(), operations: new Map(), nonceEnds: new Map(), changes: [] };

export interface SimulatedStoreDeps {
  readonly image: StoreImage;
  /** One transaction and its flush: when it throws nothing of it is there, when it returns all of it is. */
  readonly flush: (next: StoreImage) => Promise<void>;
}

/** The key store over a medium that keeps whole transactions, one after the other: the records of the one in RAM, the nonce counters of the one in files. */
export async function openSimulatedStore({ image, flush }: SimulatedStoreDeps): Promise<KeyStore> {
  const records = createInmemStore();
  for (const key of image.keys.values()) await records.commit({ put: () => key });
  const operations = new Map(image.operations);
  let durable = image;
  let turn: Promise<unknown> = Promise.resolve();
  const nonces: NonceCounters = createNonceCounters((kid) => durable.nonceEnds.get(kid));

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => undefined);
    return result;
  };

  const commit = async (change: Partial<StoreImage>, { intent, kid }: StoredChange): Promise<number> => {
    const next = { ...durable, ...change, generation: durable.generation + 1, changes: [...durable.changes, { intent, kid }] };
    await flush(next).catch((cause: unknown) => { throw new KmsError('StoreUnavailable', { cause }); });
    durable = next;
    return next.generation;
  };

  return {
    ...records,
    commit: ({ put, operation, intent }) => inTurn(async () => {
      const key = put(durable.generation + 1);
      const kept = operation && { ...operation, key };
      const generation = await commit({
        keys: new Map(durable.keys).set(key.base, key),
        ...(kept && { operations: new Map(durable.operations).set(kept.scope, kept) }),
      }, { intent, kid: currentVersion(key).kid });
      await records.commit({ put: () => key });
      if (kept !== undefined) operations.set(kept.scope, kept);
      return { generation, key };
    }),
    async findOperation(scope, nowMs) {
      const operation = operations.get(scope);
      return operation !== undefined && operation.expiresAtMs > nowMs ? operation : undefined;
    },
    takeNonce: async (kid, asked) => nonces.take(kid, asked),
    isSpent: async (kid) => nonces.isSpent(kid),
    reserveNonces: (kid, asked, intent) => inTurn(async () => {
      const end = nonces.endFor(kid, asked);
      const generation = await commit({ nonceEnds: new Map(durable.nonceEnds).set(kid, end) }, { intent, kid });
      nonces.extend(kid, end);
      return generation;
    }),
    generation: () => durable.generation,
    changesAbove: async (generation) => new Map(durable.changes.flatMap((change, i) => (i >= generation ? [[i + 1, change] as const] : []))),
  };
}
