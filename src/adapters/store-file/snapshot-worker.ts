/** The thread that copies a store in use, as it stands at one moment, and checks the copy. */
import type { Snapshot, SnapshotOrder } from './protocol.ts';
import { parentPort, workerData } from 'node:worker_threads';
import { inspectDatabase } from './inspect.ts';
import { looking } from './database.ts';
import { createKeyRing } from './mac-keys.ts';

const { from, to, keys } = workerData as SnapshotOrder;

/** What was deleted is not in the copy: it is written anew, page by page. */
function copy(): Snapshot {
  const ring = createKeyRing(keys);
  looking(from, (database) => database.prepare('VACUUM INTO ?').run(to));
  const { generation, records, fault } = inspectDatabase(to, ring);
  if (fault !== undefined) throw new Error(`the copy is not as the service left the store: ${fault.what}`);
  return { generation, records };
}

parentPort?.postMessage(copy(), []);
