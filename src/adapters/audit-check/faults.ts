/** What can be wrong with a log; docs/formats/log.md and the tests go by these names. */
type FaultKind =
  /** An entry, or a bundle of them, is not what was logged: changed, dropped, put in, swapped. */
  | 'entry'
  /** A hash tile is missing or does not hold the hashes of what is below it. */
  | 'tile'
  /** Files end before the tree does. */
  | 'missing'
  /** No checkpoint, or one that the keys did not sign or the entries do not bear out. */
  | 'checkpoint'
  /** Keys that nobody vouches for. */
  | 'log-keys'
  /** Another log than the pinned keys are for. */
  | 'instance'
  /** An older state of the log than is known to have been. */
  | 'rolled-back'
  /** Bytes that no ron-kms writes as an entry. */
  | 'form'
  | 'clock' | 'key-seq' | 'generation' | 'intent' | 'journal';

export interface LogFault {
  readonly kind: FaultKind;
  /** The entry, where it is one. */
  readonly index?: number;
  /** The file, relative to the log's directory. */
  readonly file?: string;
  readonly what: string;
}

/** In one line: the entry or the file, and what is wrong with it. */
export function describeFault({ index, file, what }: LogFault): string {
  if (index === undefined) return `${file}: ${what}`;
  return `entry ${index}${file === undefined ? '' : ` (${file})`}: ${what}`;
}

/** Damage may be everywhere: the first ones are told, all are counted. */
export interface Faults {
  add(fault: LogFault): void;
  list(): readonly LogFault[];
  count(): number;
}

const TOLD_MAX = 100;

export function collectFaults(): Faults {
  const told: LogFault[] = [];
  let count = 0;
  return {
    add(fault) {
      count++;
      if (told.length < TOLD_MAX) told.push(fault);
    },
    list: () => told,
    count: () => count,
  };
}
