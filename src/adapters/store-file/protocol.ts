/** What the thread of the store and that of the service say to each other. */
import type { KeyOnItsWay } from './mac-keys.ts';

/** One record as a mutation leaves it. */
export interface RecordChange {
  readonly id: number;
  readonly kid: string;
  readonly isNew: boolean;
  readonly content: string;
  /** Left out: as it is. Null: gone. */
  readonly sealed?: Uint8Array | null;
  /** Public parts of a new record that stand apart. */
  readonly parts: readonly { readonly ordinal: number; readonly bytes: Uint8Array }[];
}

interface NoncesChange {
  readonly recordId: number;
  readonly kid: string;
  readonly reservedEnd: string;
}

export interface OperationRow {
  readonly scopeHash: Uint8Array;
  readonly body: string;
  readonly expiresAt: number;
}

export interface WireMutation {
  readonly generation: number;
  readonly intent: number | undefined;
  readonly records: readonly RecordChange[];
  readonly nonces?: NoncesChange;
  readonly operation?: OperationRow;
}

/** What is committed together. */
export interface WireGroup {
  readonly mutations: readonly WireMutation[];
  /** Operations that ended before are dropped, milliseconds UTC. */
  readonly expiredBefore: number;
}

/** Something that is not as the service left it, and the version it is about where there is one. */
export interface Finding {
  readonly what: string;
  readonly kid?: string | undefined;
}

/** What the chain of changes says that there is. */
export interface History {
  readonly generation: number;
  /** By record id, the generation of its last change; 0 where there is none. */
  readonly generations: Float64Array<ArrayBuffer>;
  /** By record id, what it was changed to: 32 bytes each. */
  readonly digests: Uint8Array<ArrayBuffer>;
  /** By record id. */
  readonly nonces: ReadonlyMap<number, { readonly generation: number; readonly digest: Uint8Array }>;
  /** False when it breaks off: then it tells nothing of what is behind. */
  readonly isWhole: boolean;
  readonly findings: readonly Finding[];
}

/** A scan of all records by several threads. */
export interface ScanOrder {
  /** One above the highest id that there may be. */
  readonly size: number;
  /** How many slices were taken: each thread takes the next one, until there is none. */
  readonly taken: Int32Array<SharedArrayBuffer>;
}

/** What the records that one thread took are as they lie there, by their id; 0 where it took none. */
export interface Scanned {
  readonly generations: Float64Array<ArrayBuffer>;
  /** 32 bytes each. */
  readonly digests: Uint8Array<ArrayBuffer>;
  readonly findings: readonly Finding[];
  /** How many keys there are of each `<tenant>/<purpose>/<alg>`. */
  readonly keys: ReadonlyMap<string, number>;
}

export interface WorkerOrder {
  readonly path: string;
  readonly keys: readonly KeyOnItsWay[];
  /** The epoch that rows are authenticated under from now on. */
  readonly epoch: string;
}

/** A sealed private part on its way to be sealed anew. */
interface SealedRecord {
  readonly id: number;
  readonly kid: string;
  readonly sealedGeneration: number;
  readonly sealed: Uint8Array;
}

/** What the store's thread does when it is asked. */
export interface WriterCalls {
  /** Its share of the check of all records at the start. */
  scanRecords(order: ScanOrder): Scanned;
  commit(group: WireGroup): void;
  /** Empties the journal: what was overwritten or not committed is in it no more. False while a reader is in the way. */
  truncate(): boolean;
  beginEpoch(key: KeyOnItsWay): void;
  /** Records of the epochs before with something sealed, at most so many; none when all are moved. */
  sealedBefore(limit: number): readonly SealedRecord[];
  /** Puts these in place of what they were, and moves at most so many of the other rows; says how many are left. */
  putResealed(resealed: readonly { readonly id: number; readonly sealed: Uint8Array }[], limit: number): { readonly left: number; readonly total: number };
  endEpochs(): void;
  close(): void;
}

export type WriterCall = keyof WriterCalls;
export interface Asked { readonly id: number; readonly call: WriterCall; readonly args: readonly unknown[] }
export type Answered = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly fault: string };
/** Before it answers: that the database is open, or why not; then what its history says. */
export type FirstWords = { readonly opened: true } | { readonly unopened: string } | { readonly history: History };

/** For the thread that copies the database. */
export interface SnapshotOrder {
  readonly from: string;
  readonly to: string;
  readonly keys: readonly KeyOnItsWay[];
}

/** What the copy holds. */
export interface Snapshot {
  readonly generation: number;
  readonly records: number;
}
