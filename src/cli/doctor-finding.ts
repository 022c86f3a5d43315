/** One line of the doctor. `weak` works, and could be better; `wrong` has to be put right. */
export interface Finding {
  readonly name: string;
  readonly level: 'ok' | 'weak' | 'wrong';
  readonly says: string;
  /** What to do about it; on every line that is not `ok`. */
  readonly advice?: string;
}

/** What only the process itself can tell. */
export interface Host {
  readonly nodeVersion: string;
  readonly coreDumpsOff: boolean;
  /** `VmLck`, after a page was to be locked. */
  readonly lockedKiB: number;
  readonly isOwnMemoryLocked: boolean;
  /** Infinity where there is none; undefined where the kernel does not tell. */
  readonly memlockLimitBytes: number | undefined;
  readonly secureHeapBytes: number;
  /** Whether the kernel takes its clock for synchronised; undefined where it does not tell. */
  readonly isClockSynchronised: boolean | undefined;
}
