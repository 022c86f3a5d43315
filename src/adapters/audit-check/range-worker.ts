/** The thread that `run-ranges.ts` starts for a range. */
import type { Transferable } from 'node:worker_threads';
import type { OrderSummary } from './entry-order.ts';
import type { RangeJob, Stretch } from './check-range.ts';
import type { LogFault } from './faults.ts';
import { parentPort, workerData } from 'node:worker_threads';
import { checkRange } from './check-range.ts';
import { createEntryOrder } from './entry-order.ts';

export type RangeMessage = { readonly stretch: Stretch; readonly faults: readonly LogFault[] } | { readonly summary: OrderSummary };

const job = workerData as RangeJob;
let faults: LogFault[] = [];

const post = (message: RangeMessage, transferred: readonly Transferable[]): void => parentPort?.postMessage(message, [...transferred]);
const report = (fault: LogFault): void => { faults.push(fault); };
const order = createEntryOrder(report, { isFromStart: job.from === 0 });
checkRange(job, {
  order, report,
  tell(stretch) {
    post({ stretch, faults }, [stretch.roots.buffer as ArrayBuffer]);
    faults = [];
  },
});
const summary = order.summary();
const { keys: { keys, lastSeqs, lastGaps, firsts } } = summary;
post({ summary }, [keys.prefixOf, keys.uuids, lastSeqs, lastGaps, firsts].map(({ buffer }) => buffer));
