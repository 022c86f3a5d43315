import type { EntryDetail } from '../../core/log/entry.ts';
import type { AnchorProof } from '../../ports/anchor.ts';
import type { AuditLog } from '../../ports/audit-log.ts';
import type { AuditReader } from '../../ports/audit-reader.ts';
import type { Clock } from '../../ports/clock.ts';
import type { LogSigner } from '../../ports/log-signer.ts';
import type { Random } from '../../ports/random.ts';
import type { CheckpointResult } from './checkpointer.ts';
import type { AnnouncedKeys, OpenIntent } from './ledger.ts';
import type { LogStorage } from './storage.ts';
import type { OnRefused } from './waiters.ts';

/** The log as the service has it: what it appends and reads, and what start-up, anchors and readiness ask. */
export interface Log extends AuditLog, AuditReader {
  /** A checkpoint over all entries there are; throws `AuditUnavailable` when it cannot be made. */
  checkpointNow(): Promise<void>;
  /** The newest checkpoint, as an anchor wants it. */
  anchorProof(): AnchorProof | undefined;
  /** Adds a witness's lines to the newest checkpoint, if it is still the one of this size. */
  addCosignatures(lines: string, size: number): Promise<void>;
  /** Runs a change of the log's keys: no checkpoint is made meanwhile, and one by the keys of then follows, though no entry came. */
  changeKeys<T>(change: () => Promise<T>): Promise<T>;
  /** False from a missed checkpoint until one succeeds. */
  isCheckpointRecent(): boolean;

  /** The highest generation of the store that an entry tells of; 0 while none does. */
  lastGeneration(): number;
  lastAnchorValue(): number;
  /** Mutations without an outcome; at the start, those that a crash left. */
  openIntents(): readonly OpenIntent[];
  /** The newest `log-keys` entry. */
  announcedKeys(): AnnouncedKeys | undefined;
  /** How many entries a key has, by its base. */
  keySeq(base: string): number;
  /** Entries that wait to be written. */
  waiting(): number;

  /** What is at odds, in words that name the entry or the file; from then on nothing is written or signed. */
  integrityFault(): string | undefined;
  /** For what only others see: the full check, the store's generation, the anchor. The first one stays. */
  failIntegrity(what: string): void;
  /** Writes what waits, a last checkpoint, and seals; throws when that last checkpoint could not be made. */
  stop(): Promise<void>;
}

export interface LogDeps {
  readonly storage: LogStorage;
  readonly signer: LogSigner;
  readonly clock: Clock;
  readonly random: Random;
  readonly options: LogOptions;
  readonly observe?: LogObserver;
  /** Asked with what was found, before the first write: false leaves the files as they are, to be read only. */
  readonly mayBegin?: (found: Pick<Log, 'lastAnchorValue' | 'anchorProof'>) => Promise<boolean>;
}

interface LogOptions {
  /** `audit.durability`: flushed before the answer, or handed to the kernel before it and flushed within 100 ms. */
  readonly durability: 'disk' | 'os';
  /** `audit.checkpoint_interval_ops`. */
  readonly checkpointEveryOps: number;
  /** Entries that may wait; a batch is taken whatever its size when none does. */
  readonly queueMax?: number;
  /** A journal over this is sealed. */
  readonly sealBytes?: number;
  /** After an accepted roll-back: the log before this one, for entry 0 to name. */
  readonly replaces?: EntryDetail['replaces'];
  /** Of the store that such a log begins with. */
  readonly firstGeneration?: number;
}

interface LogObserver {
  readonly onCheckpoint?: (result: CheckpointResult, cause?: unknown) => void;
  /** Entries that the log did not take. */
  readonly onRefused?: OnRefused;
  /** Once per time that writing stops to work. */
  readonly onWriteFault?: (fault: unknown) => void;
}
