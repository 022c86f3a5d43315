/** The thread that `check-behind.ts` starts: what else the process does comes first. */
import type { BackgroundCheck, BackgroundVerdict } from './check-behind.ts';
import { platform, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { parseVkey } from '../../../client/src/log/vkey.ts';
import { checkWholeLog } from './check-log.ts';

const NICE = 19;

// On Linux this is the priority of the thread alone; elsewhere it would be that of the whole process.
if (platform() === 'linux') setPriority(NICE);

const { directory, vkeys } = workerData as BackgroundCheck;
const { faults, size } = await checkWholeLog({ directory, vkeys: vkeys.flatMap((text) => parseVkey(text) ?? []), jobs: 0 });
parentPort?.postMessage({ faults, size } satisfies BackgroundVerdict, []);
