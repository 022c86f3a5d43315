import type { Io } from './command.ts';
import { inWords } from './printable.ts';

const QUIET_MS = 1000;
const STEP_MS = 200;
const MB = 1_000_000;
const BAR_WIDTH = 24;

/** Says how far a long job is, on a terminal only and not before a second has passed. */
export interface Progress {
  advance(count: number): void;
  end(): void;
}

export interface Done {
  readonly done: number;
  readonly total: number | undefined;
  readonly elapsedMs: number;
}

export function startProgress(io: Io, what: string, total: number | undefined, tell: (done: Done) => string = inMegabytes): Progress {
  const startMs = performance.now();
  let shownMs = startMs + QUIET_MS - STEP_MS;
  let done = 0;
  let isShown = false;
  return {
    advance(count) {
      done += count;
      const nowMs = performance.now();
      if (!io.isErrTerminal || nowMs - shownMs < STEP_MS) return;
      shownMs = nowMs;
      isShown = true;
      io.err(`\r\u001b[K${what}: ${tell({ done, total, elapsedMs: nowMs - startMs })}`);
    },
    end() {
      if (isShown) io.err('\r\u001b[K');
    },
  };
}

/** `[######------] 52 %, 210000 entries/s, 5 seconds left`. */
export function inEntries({ done, total, elapsedMs }: Done): string {
  const rate = (done / Math.max(1, elapsedMs)) * 1000;
  const speed = `${Math.round(rate)} entries/s`;
  if (total === undefined || total === 0) return `${done} entries, ${speed}`;
  const share = Math.min(1, done / total);
  const bar = '#'.repeat(Math.floor(share * BAR_WIDTH)).padEnd(BAR_WIDTH, '-');
  return `[${bar}] ${Math.floor(share * 100)} %, ${speed}, ${inWords(((total - done) / Math.max(1, rate)) * 1000)} left`;
}

function inMegabytes({ done, total }: Done): string {
  const share = total === undefined || total === 0 ? '' : `${Math.floor((done / total) * 100)} %, `;
  return `${share}${Math.floor(done / MB)} MB`;
}

/** The outcome of a call; a terminal is told after a second that it is waited for. */
export async function whileWaiting<T>(io: Io, what: string, outcome: Promise<T>): Promise<T> {
  if (!io.isErrTerminal) return outcome;
  const timer = setTimeout(() => io.err(`${what} ...\n`), QUIET_MS);
  try {
    return await outcome;
  } finally {
    clearTimeout(timer);
  }
}
