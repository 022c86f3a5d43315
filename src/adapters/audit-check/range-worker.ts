/** The thread that `run-ranges.ts` starts for a range. */
import type { OrderSummary } from './entry-order.ts';
import type { RangeJob, Stretch } from './check-range.ts';
import type { Transferable } from 'node:worker_threads';
import { platform, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { checkRange } from './check-range.ts';

export interface RangeOrder extends RangeJob {
  /** What else runs in the process comes first. */
  readonly isBackground: boolean;
}

export type RangeMessage = { readonly stretch: Stretch } | { readonly summary: OrderSummary };

const NICE = 19;

const { isBackground, ...job } = workerData as RangeOrder;
// On Linux this is the priority of the thread alone; elsewhere it would be that of the whole process.
if (isBackground && platform() === 'linux') setPriority(NICE);

const tell = (message: RangeMessage, transferred: readonly Transferable[]): void => parentPort?.postMessage(message, [...transferred]);
const summary = checkRange(job, (stretch) => tell({ stretch }, [stretch.roots.buffer as ArrayBuffer]));
tell({ summary }, [summary.keys.numbers.buffer, summary.keys.keys.prefixOf.buffer, summary.keys.keys.uuids.buffer]);
