import type { Io } from './command.ts';

const QUIET_MS = 1000;
const STEP_MS = 200;
const MB = 1_000_000;

/** Says how far a long job is, on a terminal only and not before a second has passed. */
export interface Progress {
  advance(bytes: number): void;
  end(): void;
}

export function startProgress(io: Io, what: string, totalBytes: number | undefined): Progress {
  const startMs = performance.now();
  let shownMs = startMs + QUIET_MS - STEP_MS;
  let doneBytes = 0;
  let isShown = false;
  return {
    advance(bytes) {
      doneBytes += bytes;
      const nowMs = performance.now();
      if (!io.isErrTerminal || nowMs - shownMs < STEP_MS) return;
      shownMs = nowMs;
      isShown = true;
      const share = totalBytes === undefined || totalBytes === 0 ? '' : `${Math.floor((doneBytes / totalBytes) * 100)} %, `;
      io.err(`\r\u001b[K${what}: ${share}${Math.floor(doneBytes / MB)} MB`);
    },
    end() {
      if (isShown) io.err('\r\u001b[K');
    },
  };
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
