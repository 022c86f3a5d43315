/** The file log over a simulated disk, with the real code of all but the disk. */
import type { Log, LogDeps } from '../../src/adapters/audit-log/log.ts';
import type { LogVerdict } from '../../src/adapters/audit-check/check-log.ts';
import type { DiskImage, FaultyFiles } from './faulty-files.ts';
import type { TestSigner } from './log-signer.ts';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { formatIdentity } from '../../src/adapters/log-keys/identity.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';

const DIRECTORY = '/log';
let pids = 1;

/** What is there before the log is. */
export function newDisk({ origin }: Pick<TestSigner, 'origin'>): DiskImage {
  return new Map([[`${DIRECTORY}/identity.json`, Buffer.from(formatIdentity({ instanceId: origin.replace(/.*\//, ''), createdAt: '2026-11-23T10:00:00.000Z' }))]]);
}

/** Small enough that a few hundred entries come to every kind of step. */
const SMALL = { durability: 'disk', checkpointEveryOps: 150, sealBytes: 60_000 } as const;

/** As a process of its own: what others held before it holds no longer. */
export async function openSimulated(files: FaultyFiles, signer: TestSigner, more: Partial<LogDeps['options']> = {}, observe: LogDeps['observe'] = {}): Promise<Log> {
  const ownPid = ++pids;
  const storage = await openFileStorage(DIRECTORY, { files, processes: { ownPid, lifeOf: (pid) => (pid === ownPid ? 'alive' : undefined) } });
  return openLog({ storage, signer, clock: systemClock, random: createSystemRandom(), options: { ...SMALL, ...more }, observe });
}

/** The whole check of what is on a disk; undefined where no checkpoint was written yet. */
export async function checkImage(image: DiskImage, { vkeys }: Pick<TestSigner, 'vkeys'>): Promise<LogVerdict | undefined> {
  if (!image.has(`${DIRECTORY}/checkpoint`)) return undefined;
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-image-'));
  try {
    for (const [path, bytes] of image) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), bytes);
    }
    return await checkWholeLog({ directory: join(root, DIRECTORY), vkeys, jobs: 0 });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
