/** The thread of the check that runs behind: what else the process does comes first. */
import type { Finding } from './protocol.ts';
import { platform, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { checkParts } from './check-parts.ts';
import { openForReading } from './database.ts';
import { reasonOf } from '../../core/reason.ts';

const NICE = 19;

// On Linux this is the priority of the thread alone; elsewhere it would be that of the whole process.
if (platform() === 'linux') setPriority(NICE);

function findingsOf(path: string): readonly Finding[] {
  try {
    const database = openForReading(path);
    const findings = checkParts(database);
    database.close();
    return findings;
  } catch (fault) {
    return [{ what: `the database is damaged: ${reasonOf(fault)}` }];
  }
}

parentPort?.postMessage(findingsOf((workerData as { readonly path: string }).path), []);
