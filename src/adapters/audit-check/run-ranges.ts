import type { OrderSummary } from './entry-order.ts';
import type { RangeJob, Stretch } from './check-range.ts';
import type { RangeMessage, RangeOrder } from './range-worker.ts';
import { Worker } from 'node:worker_threads';
import { TILE_WIDTH } from '../../core/log/tiles.ts';
import { checkRange } from './check-range.ts';

export interface RangesJob extends RangeJob {
  /** Threads to share the work; 0 does it on this one. */
  readonly jobs: number;
  readonly isBackground: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Checks full bundles, in threads; stretches come as they are done, the summaries in the order of their ranges. */
export async function checkRanges({ jobs, isBackground, signal, ...whole }: RangesJob, tell: (stretch: Stretch) => void): Promise<readonly OrderSummary[]> {
  if (whole.to <= whole.from) return [];
  if (jobs === 0) return [checkRange(whole, tell)];
  return Promise.all(partsOf(whole, jobs).map((part) => inThread({ ...part, isBackground }, tell, signal)));
}

/** Ranges of about one length that each begin with a stretch. */
function partsOf({ from, to, ...rest }: RangeJob, jobs: number): readonly RangeJob[] {
  const stretches = Math.ceil((to - from) / TILE_WIDTH);
  const count = Math.min(jobs, stretches);
  const startOf = (part: number): number => Math.min(to, from + Math.floor((part * stretches) / count) * TILE_WIDTH);
  return Array.from({ length: count }, (_, part) => ({ ...rest, from: startOf(part), to: part === count - 1 ? to : startOf(part + 1) }));
}

function inThread(order: RangeOrder, tell: (stretch: Stretch) => void, signal: AbortSignal | undefined): Promise<OrderSummary> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const worker = new Worker(new URL('range-worker.ts', import.meta.url), { workerData: order });
    const stop = (): void => {
      reject(signal?.reason as Error);
      // Rejected already; what ending it says is nobody's concern.
      worker.terminate().catch(() => undefined);
    };
    signal?.addEventListener('abort', stop, { once: true });
    worker.on('message', (message: RangeMessage) => {
      if ('stretch' in message) tell(message.stretch);
      else resolve(message.summary);
    });
    worker.once('error', reject);
    worker.once('exit', (code) => {
      signal?.removeEventListener('abort', stop);
      reject(new Error(`a thread of the check ended with ${code}`));
    });
  });
}
