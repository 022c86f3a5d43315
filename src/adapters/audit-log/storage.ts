import type { TileLevel } from '../../core/log/tiles.ts';

/** A tile or an entry bundle; partial when it is less than 256 wide. */
export interface Tile {
  readonly level: TileLevel;
  readonly index: number;
  readonly width: number;
  readonly bytes: Buffer;
}

/** Entries that go to the journal with one write: a frame. Its bytes are used again for the next one. */
export interface Frame {
  readonly firstIndex: number;
  readonly count: number;
  /** The storage's head room, then the entries in bundle format. */
  readonly bytes: Buffer;
}

/** Consecutive entries as they were found. */
export interface EntryRun {
  readonly firstIndex: number;
  readonly entries: readonly Buffer[];
}

/** What the storage held when it was opened: read once, before anything is written. */
export interface StoredLog {
  checkpoint(): string | undefined;
  state(): Buffer | undefined;
  /** A tile of this width, cut from a wider one where need be; undefined when it is not there. */
  tile(level: TileLevel, index: number, width: number): Buffer | undefined;
  /** The first entry of the journal; undefined when there is none. */
  journalFrom(): number | undefined;
  /** The journal's entries in their order, without what a torn write left; throws `IntegrityFault` where it is damaged. */
  journal(): Iterable<EntryRun>;
}

/**
 * Where the log keeps its bytes: RAM or files. One caller, one call at a time, but for `append`, `flush` and
 * `restart`, which the appender calls beside the checkpointer's calls of all the others.
 */
export interface LogStorage {
  readonly stored: StoredLog;
  /**
   * What is stored was found good: from here on it is written to. Everything up to `size` is flushed when it
   * returns, and the journal begins anew there; the partial tiles of `sealedSize` are the ones a start needs.
   */
  begin(size: number, sealedSize: number): Promise<void>;
  /** Entries in memory may not take much more than this before they are handed over as tiles. */
  readonly tailMaxBytes: number;
  /** Bytes that a frame leaves free in front of its entries. */
  readonly headRoomBytes: number;
  /** Hands a frame over with one write; throws when that fails, wholly or in part. */
  append(frame: Frame): void;
  /** What was appended is on the disk when it returns; when it throws, only what was flushed before may be trusted. */
  flush(): Promise<void>;
  /**
   * Begins a new journal, which holds these entries and counts from there; of the one before, all from there on
   * is void. Durable when it returns; to be called until it succeeds once it has thrown.
   */
  restart(firstIndex: number, unflushed?: Frame): Promise<void>;
  /** In the journal since the last sealing. */
  journalBytes(): number;
  writeTile(tile: Tile): Promise<void>;
  /** A tile of exactly this width, else undefined. */
  readTile(level: TileLevel, index: number, width: number): Promise<Buffer | undefined>;
  /** Deletes partial tiles but those of trees of these sizes. */
  keepPartialsOf(sizes: readonly number[]): Promise<void>;
  /** Replaces the checkpoint whole; durable when it returns. */
  writeCheckpoint(note: string): Promise<void>;
  /** Flushes all tiles, then the state, then drops the journal below `size`: a start needs it no more. */
  seal(size: number, state: AsyncIterable<Buffer>): Promise<{ readonly stateBytes: number }>;
  /** The oldest entry that is still there. */
  minimumIndex(): number;
  /** The writer lets go. */
  close(): Promise<void>;
}
