import type { Alg } from '../core/algorithm/table.ts';
import type { VersionState } from '../core/key/lifecycle.ts';
import type { KeyCounts } from '../core/key/counts.ts';
import type { KeyRecord } from '../core/key/record.ts';

/** One mutation: everything in it is there after a crash, or nothing is. */
export interface Mutation {
  /** Gives the record to keep. Called once, as `commit` is, with the generation that this mutation will have: private parts are sealed to it. */
  readonly put: (generation: number) => KeyRecord;
  readonly operation?: Omit<OperationRecord, 'key'>;
  /** The index of its intent in the log, by which start-up knows what of the intents left open was done. */
  readonly intent?: number;
}

/** A mutation as the store took it. */
export interface Committed {
  readonly generation: number;
  readonly key: KeyRecord;
}

/** A mutation as the store remembers it. */
export interface StoredChange {
  /** The index of its intent in the log. */
  readonly intent: number | undefined;
  /** The newest version among those that it made or changed. */
  readonly kid: string | undefined;
}

/** What of a store is not as the service left it. */
export interface StoreFault {
  /** In words for the operator. */
  readonly what: string;
  /** Versions whose records do not authenticate; a key that has one is not found. */
  readonly kids: ReadonlySet<string>;
}

/** What a mutation made, kept so that a retry with its `op_id` gets the same answer. */
export interface OperationRecord {
  /** Root key, client, tenant, method, path and `op_id`, unambiguously joined. */
  readonly scope: string;
  /** The key as the mutation left it, from which its answer is made again. */
  readonly key: KeyRecord;
  /** BLAKE3 of the canonical body, hex. */
  readonly bodyHash: string;
  readonly expiresAtMs: number;
}

export interface KeyQuery {
  readonly tenant: string | undefined;
  readonly purpose: string | undefined;
  readonly alg: Alg | undefined;
  readonly state: VersionState | undefined;
  readonly label: { readonly name: string; readonly value: string } | undefined;
  /** Only keys that this admits; the caller's capability. */
  readonly admits: (key: KeyRecord) => boolean;
  /** Where the page before ended: the base of its last key. */
  readonly after: string | undefined;
  readonly limit: number;
}

/** A version whose time has come. */
export interface DueWork {
  readonly base: string;
  /** The version to erase; left out when the key is to be rotated. */
  readonly eraseVersion?: number;
}

/** Nonces are counters of 96 bits, from 1 (DESIGN §3). */
export const LAST_NONCE = 2n ** 96n - 1n;

/** What is known of the keys. One process writes it. Records are immutable: a read never changes later. */
export interface KeyStore {
  find(base: string): Promise<KeyRecord | undefined>;
  /** Keys in the order of their creation. */
  list(query: KeyQuery): Promise<{ readonly keys: readonly KeyRecord[]; readonly next?: string }>;
  /** Takes the mutation as a whole, durably where keys are durable; throws `StoreUnavailable` when nothing of it was. The generation goes up by one with each. */
  commit(mutation: Mutation): Promise<Committed>;
  findOperation(scope: string, nowMs: number): Promise<OperationRecord | undefined>;
  /**
   * The next nonce of an AEAD version, counted from 1; or the asked one, when it is above the last and
   * at most 2^32 beyond it. Undefined when it is not. Never gives a value twice, crashes included.
   * `reserve`: those set aside durably are used up, or end before it.
   */
  takeNonce(kid: string, asked: bigint | undefined): Promise<bigint | 'reserve' | undefined>;
  /** Sets nonces aside durably, up to beyond the asked one; all there are with `LAST_NONCE`. A mutation of its own: gives its generation. */
  reserveNonces(kid: string, asked: bigint | undefined, intent?: number): Promise<number>;
  /** No nonce of an AEAD version is left: it only unwraps. */
  isSpent(kid: string): Promise<boolean>;
  /** Erasures and rotations whose time has come. */
  due(nowMs: number): Promise<readonly DueWork[]>;
  /** Of the keys there are, and follows them. */
  keyCounts(): Pick<KeyCounts, 'ofTenant' | 'entries'>;
  /** That of the last mutation taken. */
  generation(): number;
  /** The mutations above a generation, by generation: what start-up settles the log's open intents with. */
  changesAbove(generation: number): Promise<ReadonlyMap<number, StoredChange>>;
  /** What the check at the start, and every read since, has found; undefined while all is well. */
  integrity(): StoreFault | undefined;
  isReady(): boolean;
  close(): Promise<void>;
}
