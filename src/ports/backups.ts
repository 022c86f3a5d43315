/** The newest checkpoint of the log, as a backup names it. */
export interface BackedUpHead {
  readonly origin: string;
  readonly size: number;
  readonly rootHash: Buffer;
  /** The signed note. */
  readonly note: string;
}

/** A backup that was written and read again. */
export interface BackupMade {
  /** The name of the file, in the directory of the backups. */
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Of the store, as it stands in the backup. */
  readonly generation: number;
  readonly records: number;
}

export interface Backups {
  /**
   * Writes one file with all keys as they stand at one moment, and the root keys that open them, under a key of the backups' own; flushed and
   * read again when it returns. `head` is asked behind that moment, so what it covers knows at least as much. Throws with what the operator has to
   * do, and when it is cut off by the signal; then nothing is left of it.
   */
  make(head: () => Promise<BackedUpHead>, signal: AbortSignal): Promise<BackupMade>;
}
