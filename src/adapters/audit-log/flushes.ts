import type { Body } from './body.ts';
import type { Frame, LogStorage } from './storage.ts';

/** How much of the log is on the disk, and what is to be done about the rest. */
export interface Flushes {
  flush(): Promise<void>;
  /** All there is has been flushed. */
  mark(): void;
  /** Entries were written and answered without a flush: one will be due. */
  expect(): void;
  isDue(): boolean;
  isComplete(): boolean;
  /** A new journal from the last good flush on, with the entries that were answered and not flushed. */
  restart(): Promise<void>;
  stop(): void;
}

export interface FlushesDeps {
  readonly storage: Pick<LogStorage, 'flush' | 'restart' | 'headRoomBytes'>;
  readonly body: Pick<Body, 'size' | 'tail'>;
  readonly onDue: () => void;
}

/** With `os` durability a flush begins so long after the first write, to be over within 100 ms. */
const FLUSH_AFTER_MS = 75;

export function createFlushes({ storage, body, onDue }: FlushesDeps): Flushes {
  let flushedSize = body.size();
  let timer: NodeJS.Timeout | undefined;
  let isDue = false;

  const stop = (): void => {
    clearTimeout(timer);
    timer = undefined;
    isDue = false;
  };

  const mark = (): void => {
    stop();
    flushedSize = body.size();
  };

  const unflushed = (): Frame | undefined => {
    const count = body.size() - flushedSize;
    return count === 0 ? undefined : { firstIndex: flushedSize, count, bytes: Buffer.concat([Buffer.alloc(storage.headRoomBytes), body.tail.slice(flushedSize, body.size())]) };
  };

  return {
    async flush() {
      // Model: [flush].
      await storage.flush();
      mark();
    },
    mark,
    expect() {
      timer ??= setTimeout(() => {
        isDue = true;
        onDue();
      }, FLUSH_AFTER_MS);
    },
    isDue: () => isDue,
    isComplete: () => flushedSize === body.size(),
    async restart() {
      await storage.restart(flushedSize, unflushed());
      mark();
    },
    stop,
  };
}
