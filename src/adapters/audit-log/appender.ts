import type { ErrorCode } from '../../core/errors.ts';
import type { AuditEvent } from '../../core/log/entry.ts';
import type { Random } from '../../ports/random.ts';
import type { Body } from './body.ts';
import type { EncodedGroup, GroupEncoder } from './group.ts';
import type { LogStorage } from './storage.ts';
import type { OnRefused } from './waiters.ts';
import { KmsError } from '../../core/errors.ts';
import { createBackoff } from './backoff.ts';
import { createFlushes } from './flushes.ts';
import { createWaiters } from './waiters.ts';

export interface AppenderDeps {
  readonly storage: Pick<LogStorage, 'append' | 'flush' | 'restart' | 'headRoomBytes'>;
  readonly encoder: GroupEncoder;
  readonly body: Body;
  readonly random: Random;
  readonly options: { readonly durability: 'disk' | 'os'; readonly queueMax: number };
  /** Why entries are not even to wait, whatever the appender could do with them. */
  readonly refusal: () => ErrorCode | undefined;
  readonly events: { readonly appended: () => void; readonly writeFailed: (fault: unknown) => void; readonly refused: OnRefused };
}

export interface Appender {
  append(events: readonly AuditEvent[], mustFlush: boolean): Promise<{ readonly firstIndex: number }>;
  /** Looks at the log while nothing is being written and all of it is flushed; with a new journal from there on, where asked for. */
  atRest<T>(look: () => T, withNewJournal: boolean): Promise<T>;
  /** False from a failed write until writing works again, and once stopped. */
  isWriting(): boolean;
  /** Entries that were not answered yet. */
  waiting(): number;
  /** Refuses what comes and writes what waits. */
  drain(): Promise<void>;
  /** Refuses what comes and what waits; what is being written is finished. */
  refuse(): void;
  stop(): Promise<void>;
}

interface Look {
  readonly withNewJournal: boolean;
  readonly run: () => void;
  readonly reject: (fault: unknown) => void;
}

/** A group is not made larger once it has this much: its flush should not take long. */
const GROUP_BYTES = 1 << 20;

/**
 * Group commit: one write and one flush for all entries that wait, answers after it. All that touches the journal
 * goes through one loop, so a write never meets a flush, a new journal or another write.
 */
export function createAppender({ storage, encoder, body, random, options, refusal, events }: AppenderDeps): Appender {
  const waiters = createWaiters(options.queueMax, events.refused);
  const looks: Look[] = [];
  const backoff = createBackoff(random);
  const is = { failing: false, stopped: false, aborted: false };
  const flushes = createFlushes({ storage, body, onDue: () => wake() });
  const loop: { running: Promise<void> | undefined } = { running: undefined };
  const writeGroup = async (): Promise<void> => {
    let next = body.size();
    encoder.begin(next);
    const taken = waiters.take((waiter) => {
      if (encoder.bytes() >= GROUP_BYTES) return false;
      encoder.add(waiter.events);
      waiter.firstIndex = next;
      next += waiter.events.length;
      return true;
    });
    try {
      const group = encoder.group();
      if (group.count > 0) await write(group, options.durability === 'disk' || taken.some(({ mustFlush }) => mustFlush));
    } catch (fault) {
      encoder.undo();
      waiters.refuse(taken, fault);
      await recover(fault);
      return;
    }
    waiters.accept(taken);
    events.appended();
  };

  const write = async (group: EncodedGroup, mustFlush: boolean): Promise<void> => {
    // Model: [append], then [flush].
    storage.append(group);
    // The hashing is hidden behind the flush.
    const flushing = mustFlush ? storage.flush() : undefined;
    const hashes = body.hashesOf(group);
    await flushing;
    body.add(group, hashes);
    if (mustFlush) flushes.mark();
    else flushes.expect();
  };

  /**
   * After a failed write or flush nothing beyond the last good flush is trusted: a new journal begins there, with
   * the entries that were answered before they were flushed. Until that works, everything is refused.
   */
  const recover = async (fault: unknown): Promise<void> => {
    is.failing = true;
    events.writeFailed(fault);
    waiters.refuseQueue(fault);
    // Nobody waits for a better time when the service ends.
    if (is.stopped) abort();
    while (!is.aborted && is.failing) {
      await backoff.pause();
      // Told when it began; tried until it works or the log is stopped.
      if (!is.aborted) await flushes.restart().then(resume, () => undefined);
    }
  };

  const resume = (): void => {
    is.failing = false;
    backoff.reset();
  };

  const lookAtRest = async (): Promise<void> => {
    if (!flushes.isComplete()) await flushes.flush();
    if (looks.some(({ withNewJournal }) => withNewJournal)) await storage.restart(body.size());
    for (const { run } of looks.splice(0)) run();
  };

  const drive = async (): Promise<void> => {
    while (!is.aborted) {
      if (looks.length > 0) await lookAtRest().catch(recover);
      else if (flushes.isDue()) await flushes.flush().catch(recover);
      else if (waiters.isQueueEmpty()) return;
      else await writeGroup();
      // What the answers set off joins the next group.
      if (!waiters.isQueueEmpty()) await endOfTurn();
    }
  };

  const wake = (): void => {
    loop.running ??= endOfTurn().then(drive).finally(() => {
      loop.running = undefined;
      // What came between the loop's last look and now.
      if (!is.aborted && (looks.length > 0 || flushes.isDue() || !waiters.isQueueEmpty())) wake();
    });
  };

  const abort = (): void => {
    is.aborted = true;
    backoff.stop();
    flushes.stop();
    waiters.refuseQueue(undefined);
    for (const { reject } of looks.splice(0)) reject(new KmsError('AuditUnavailable'));
  };

  const refuse = (): void => {
    is.stopped = true;
    abort();
  };

  return {
    append(added, mustFlush) {
      const code = is.stopped || is.failing ? 'AuditUnavailable' : refusal();
      if (code !== undefined) return waiters.turnAway(added, code);
      wake();
      return waiters.add(added, mustFlush);
    },
    atRest(look, withNewJournal) {
      if (is.aborted) return Promise.reject(new KmsError('AuditUnavailable'));
      wake();
      return new Promise((resolve, reject) => {
        looks.push({ withNewJournal, run: () => { settle(look, resolve, reject); }, reject });
      });
    },
    isWriting: () => !is.failing && !is.stopped,
    waiting: waiters.unanswered,
    async drain() {
      is.stopped = true;
      if (is.failing) abort();
      while (loop.running !== undefined) await loop.running;
    },
    refuse,
    async stop() {
      refuse();
      await loop.running;
    },
  };
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function settle<T>(work: () => T, resolve: (value: T) => void, reject: (fault: unknown) => void): void {
  try {
    resolve(work());
  } catch (fault) {
    reject(fault);
  }
}
