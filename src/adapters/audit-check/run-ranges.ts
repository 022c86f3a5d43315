import type { OrderSummary } from './entry-order.ts';
import type { RangeJob, RangeSinks } from './check-range.ts';
import type { RangeMessage } from './range-worker.ts';
import { Worker } from 'node:worker_threads';
import { TILE_WIDTH } from '../../core/log/tiles.ts';
import { answerOf } from '../system/thread-answer.ts';
import { checkRange } from './check-range.ts';

export interface RangesJob extends RangeJob {
  /** Threads to share the work; 0 does it on this one. */
  readonly jobs: number;
  readonly signal: AbortSignal | undefined;
}

/** Checks full bundles, in threads; stretches come as they are done, and what they say of the order of entries once all are. */
export async function checkRanges({ jobs, signal, ...whole }: RangesJob, sinks: RangeSinks): Promise<void> {
  if (whole.to <= whole.from) return;
  if (jobs === 0) return checkRange(whole, sinks);
  const summaries = await Promise.all(partsOf(whole, jobs).map((part) => inThread(part, sinks, signal)));
  for (const summary of summaries) sinks.order.absorb(summary);
}

/** Ranges of about one length that each begin with a stretch. */
function partsOf({ from, to, ...rest }: RangeJob, jobs: number): readonly RangeJob[] {
  const stretches = Math.ceil((to - from) / TILE_WIDTH);
  const count = Math.min(jobs, stretches);
  const startOf = (part: number): number => Math.min(to, from + Math.floor((part * stretches) / count) * TILE_WIDTH);
  return Array.from({ length: count }, (_, part) => ({ ...rest, from: startOf(part), to: part === count - 1 ? to : startOf(part + 1) }));
}

async function inThread(job: RangeJob, { report, tell }: RangeSinks, signal: AbortSignal | undefined): Promise<OrderSummary> {
  signal?.throwIfAborted();
  const worker = new Worker(new URL('range-worker.ts', import.meta.url), { workerData: job });
  return answerOf(worker, (said) => {
    const message = said as RangeMessage;
    if ('summary' in message) return message.summary;
    for (const fault of message.faults) report(fault);
    tell(message.stretch);
    return undefined;
  }, signal);
}
