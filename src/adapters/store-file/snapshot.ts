import type { RootKeys } from '../root-key/root-keys.ts';
import type { Snapshot, SnapshotOrder } from './protocol.ts';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { onTheirWay } from './mac-keys.ts';

/** Copies the database to a new file while it is written to, and checks the copy; on a thread of its own. Throws with what is wrong, and when it is cut off. */
export async function takeSnapshot(from: string, to: string, rootKeys: RootKeys, signal: AbortSignal): Promise<Snapshot> {
  const worker = new Worker(new URL('snapshot-worker.ts', import.meta.url), { workerData: { from, to, keys: onTheirWay(rootKeys) } satisfies SnapshotOrder });
  try {
    const [snapshot] = await once(worker, 'message', { signal }) as [Snapshot];
    return snapshot;
  } finally {
    await worker.terminate();
  }
}
