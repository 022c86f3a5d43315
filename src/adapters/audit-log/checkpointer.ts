import type { Clock } from '../../ports/clock.ts';
import type { LogSigner } from '../../ports/log-signer.ts';
import type { Appender } from './appender.ts';
import type { Body, Head, SignedHead } from './body.ts';
import type { LogStorage } from './storage.ts';
import { KmsError } from '../../core/errors.ts';
import { createCoverage } from './coverage.ts';
import { encodeState } from './ledger-file.ts';
import { verifyNote } from './verify-note.ts';

/** `late`: not within a second; it may still come. */
export type CheckpointResult = 'ok' | 'late' | 'failed';

export interface CheckpointerDeps {
  readonly storage: LogStorage;
  readonly appender: Pick<Appender, 'atRest'>;
  readonly body: Body;
  readonly signer: LogSigner;
  readonly clock: Clock;
  readonly options: CheckpointerOptions;
}

interface CheckpointerOptions {
  /** `audit.checkpoint_interval_ops`. */
  readonly everyOps: number;
  /** A journal over this is sealed. */
  readonly sealBytes: number;
  readonly onCheckpoint: ((result: CheckpointResult, cause?: unknown) => void) | undefined;
}

export interface CheckpointerStart {
  readonly newest: SignedHead | undefined;
  /** Up to where the log was sealed; undefined when it never was. */
  readonly sealedSize: number | undefined;
}

export interface Checkpointer {
  newest(): SignedHead | undefined;
  /** Entries have come in. */
  grown(): void;
  /** Over all entries there are; throws `AuditUnavailable` when it cannot be made. */
  now(): Promise<void>;
  covering(index: number): Promise<SignedHead>;
  /** Runs a change of the log's keys: no checkpoint is made meanwhile, and one by the keys of then follows, though no entry came. */
  changeKeys<T>(change: () => Promise<T>): Promise<T>;
  /** Adds signature lines of others to the newest one, if it is still the one of this size. */
  addCosignatures(lines: string, size: number): Promise<void>;
  /** False from a missed one until the next that succeeds. */
  isRecent(): boolean;
  /** A last one, and the log sealed at it. */
  finish(): Promise<void>;
  stop(): Promise<void>;
}

const INTERVAL_MS = 1000;
const DEADLINE_MS = 1000;
/** Each call of a file system takes a turn of the event loop at least: some go together. */
const TILES_AT_ONCE = 8;
/** A state much larger than the journal is not written each time the journal is full. */
const JOURNAL_PER_STATE = 4;

/** Covers what is flushed with signed checkpoints: tiles first, then the note, durable before anyone is shown it. */
export function createCheckpointer({ storage, appender, body, signer, clock, options }: CheckpointerDeps, start: CheckpointerStart): Checkpointer {
  let { newest, sealedSize } = start;
  let stateBytes = 0;
  let isMissed = false;
  /** Its keys may not be those of now. */
  let isOutdated = false;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  /** One thing at a time touches the checkpoint. */
  let turn: Promise<unknown> = Promise.resolve();
  let waitingRuns = 0;
  const coverage = createCoverage();

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  };

  /** All is covered, and tidied up behind it. */
  const isDone = (): boolean => !isMissed && !isOutdated && body.size() === (newest?.size ?? 0);
  const isSealDue = (): boolean => sealedSize === undefined || storage.journalBytes() > Math.max(options.sealBytes, JOURNAL_PER_STATE * stateBytes);

  const publish = async (head: SignedHead): Promise<void> => {
    await storage.writeCheckpoint(head.note);
    newest = head;
    coverage.published(head);
  };

  const seal = async ({ size, rootHash, frozen }: Head): Promise<void> => {
    if (frozen === undefined) return;
    ({ stateBytes } = await storage.seal(size, encodeState(size, rootHash, frozen, signer.mac)));
    sealedSize = size;
  };

  const sign = async ({ size, rootHash }: Head): Promise<SignedHead> => {
    const note = await signer.sign({ origin: signer.origin, size, rootHash }, clock.wallMs());
    const verified = verifyNote(note, signer);
    if ('fault' in verified || !verified.rootHash.equals(rootHash)) throw new Error('the new checkpoint does not verify');
    return { note, size, rootHash };
  };

  const writeTiles = async (head: Head): Promise<void> => {
    for (let at = 0; at < head.tiles.length; at += TILES_AT_ONCE) await Promise.all(head.tiles.slice(at, at + TILES_AT_ONCE).map(storage.writeTile));
    body.written(head);
  };

  const cover = async (head: Head): Promise<void> => {
    if (head.size !== newest?.size || isOutdated) {
      await writeTiles(head);
      await publish(await sign(head));
      isOutdated = false;
      options.onCheckpoint?.('ok');
    }
    isMissed = false;
  };

  const make = async (withSeal: boolean): Promise<void> => {
    const deadline = setTimeout(() => {
      isMissed = true;
      options.onCheckpoint?.('late');
    }, DEADLINE_MS);
    let head: Head | undefined;
    try {
      // Model: [checkpoint].
      head = await appender.atRest(() => body.capture(withSeal), withSeal);
      await cover(head);
      clearTimeout(deadline);
      await seal(head);
      await storage.keepPartialsOf([head.size, sealedSize ?? head.size]);
    } finally {
      clearTimeout(deadline);
      head?.frozen?.thaw();
    }
  };

  const run = async (withSeal: boolean): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    if (isDone() && !withSeal) return;
    try {
      await make(withSeal || isSealDue());
    } catch (fault) {
      isMissed = true;
      options.onCheckpoint?.('failed', fault);
      throw new KmsError('AuditUnavailable', { cause: fault });
    }
  };

  /** In its turn; a failed one is tried again after the interval. */
  const queueRun = (withSeal: boolean): Promise<void> => {
    waitingRuns++;
    return inTurn(() => run(withSeal)).finally(() => {
      waitingRuns--;
      schedule();
    });
  };

  const schedule = (): void => {
    if (isStopped || waitingRuns > 0 || isDone()) return;
    const isDue = !isMissed && (body.size() - (newest?.size ?? 0) >= options.everyOps || body.tail.bytes() >= storage.tailMaxBytes);
    if (isDue) runAside();
    else timer ??= setTimeout(runAside, INTERVAL_MS);
  };

  const runAside = (): void => {
    // What goes wrong has been told by `onCheckpoint`.
    queueRun(false).catch(() => undefined);
  };

  return {
    newest: () => newest,
    grown: schedule,
    now: () => queueRun(false),
    covering: (index) => (newest !== undefined && newest.size > index ? Promise.resolve(newest) : coverage.wait(index)),
    changeKeys: (change) =>
      inTurn(() => change().finally(() => { isOutdated = true; })).finally(schedule),
    addCosignatures: (lines, size) =>
      inTurn(async () => {
        if (newest?.size === size) await publish({ ...newest, note: newest.note + lines });
      }),
    isRecent: () => !isMissed,
    finish: () => queueRun(true),
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await turn;
      coverage.stop();
    },
  };
}
