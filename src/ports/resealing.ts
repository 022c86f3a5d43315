/** A sealed private part where it lies. */
interface SealedRow {
  /** `#vN` included. */
  readonly kid: string;
  /** The generation that the blob is bound to: `sealedGeneration` of its version. */
  readonly sealedGeneration: number;
  readonly blob: Buffer;
}

/** The blob anew, under the newest root key; as it is, when it lies under that one already. Throws when it does not open. */
export type Reseal = (row: SealedRow) => Buffer;

interface ResealProgress {
  /** Rows that lie under a root key of the past. */
  readonly left: number;
  readonly total: number;
}

/**
 * A store whose rows lie under a root key, by its epoch, and can be moved to the next one while it serves. A crash
 * leaves each row whole under one of the two.
 */
export interface ResealableStore {
  /** From now on rows are authenticated under the newest root key; those of the ones before stay readable. */
  beginEpoch(): Promise<void>;
  /** Moves at most `limit` rows of the epochs before, durably, and says how far it is; of no generation, as nothing of a key changes. */
  reseal(limit: number, reseal: Reseal): Promise<ResealProgress>;
  /** Forgets the keys of all epochs but the newest; only once nothing is left under them. */
  endEpochs(): Promise<void>;
}

/** Moves all that lies under the root key to a new one, while everything goes on. */
export interface RootKeyMove {
  /** A move has begun and is not done; after a crash too. */
  isMoving(): boolean;
  /** From now on all is sealed under a new root key, durably. Does nothing while a move is under way. */
  begin(): Promise<void>;
  /** Moves some of what is still under the one before. */
  step(): Promise<ResealProgress>;
  /** Forgets the root key before; only once nothing is left under it. */
  end(): Promise<void>;
}
