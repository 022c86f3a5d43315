/** The thread of the check that runs behind: what else the process does comes first. */
import type { Finding } from './protocol.ts';
import { platform, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { reasonOf } from '../../core/reason.ts';
import { checkParts } from './check-parts.ts';
import { looking } from './database.ts';

const NICE = 19;

// On Linux this is the priority of the thread alone; elsewhere it would be that of the whole process.
if (platform() === 'linux') setPriority(NICE);

function findingsOf(path: string): readonly Finding[] {
  try {
    return looking(path, checkParts);
  } catch (fault) {
    return [{ what: `the database is damaged: ${reasonOf(fault)}` }];
  }
}

parentPort?.postMessage(findingsOf((workerData as { readonly path: string }).path), []);
