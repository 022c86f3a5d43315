import type { LogVerdict } from './check-log.ts';
import { Worker } from 'node:worker_threads';
import { answerOf, FEW_NEW_OBJECTS } from '../system/thread-answer.ts';

export interface BackgroundCheck {
  readonly directory: string;
  /** Of the log, as `formatVkey` writes them. */
  readonly vkeys: readonly string[];
}

/** What a check behind a service says. */
export type BackgroundVerdict = Pick<LogVerdict, 'faults' | 'size'>;

/** The whole check on a thread of its own, with all the memory it takes: when it ends that is free again. Rejects when it was aborted, and when it could not be made. */
export async function checkLogBehind(check: BackgroundCheck, signal: AbortSignal): Promise<BackgroundVerdict> {
  signal.throwIfAborted();
  const worker = new Worker(new URL('check-behind-worker.ts', import.meta.url), { workerData: check, resourceLimits: FEW_NEW_OBJECTS });
  return answerOf(worker, (verdict) => verdict as BackgroundVerdict, signal);
}
