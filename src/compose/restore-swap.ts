import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeFiles } from '../adapters/audit-file/file-layer.ts';
import { takeLock } from '../adapters/audit-file/lock.ts';
import { flushDirectory } from '../adapters/files/durable-file.ts';
import { systemProcesses } from '../adapters/system/processes.ts';
import { INSTANCE_FILES } from './open-instance.ts';

/** Where a restore has its say. */
export interface Places {
  readonly auditDir: string;
  readonly sealedDir: string;
}

/** What is made lies in the first below each directory; while it is put in place it has the second name. */
const STAGED = '.restoring';
const PLACED = '.restored';
const ASIDE = /^replaced-/;
/** A volume of its own has it; and who holds the directory stays. */
const STAYS: ReadonlySet<string> = new Set([STAGED, PLACED, 'lock', 'lost+found']);

export function stagedIn(directory: string): string {
  return join(directory, STAGED);
}

/** A restore was cut off behind its last preparation: nothing but renames is left of it. */
export function isSwapPending({ auditDir, sealedDir }: Places): boolean {
  return isReady(auditDir) || existsSync(join(auditDir, PLACED)) || existsSync(join(sealedDir, PLACED));
}

/** The identity is made last, when all else is on the disk. */
function isReady(auditDir: string): boolean {
  return existsSync(join(stagedIn(auditDir), INSTANCE_FILES.identity));
}

/**
 * Puts what was made in place of what is there, which goes to a directory `replaced-…` beside it. Only renames: whatever of them a crash
 * leaves to be done, the same call does. The log comes last, and of it the identity: no service starts on half of it. It is pending until
 * `endSwap`.
 */
export async function swapIn(places: Places, aside: string): Promise<void> {
  const { auditDir, sealedDir } = places;
  await holding(places, async () => {
    await swap(sealedDir, aside);
    if (isReady(auditDir) || existsSync(join(auditDir, PLACED))) await swap(auditDir, aside);
  });
}

async function swap(directory: string, aside: string): Promise<void> {
  const [staged, placed, replaced] = [stagedIn(directory), join(directory, PLACED), join(directory, aside)];
  if (existsSync(staged)) {
    await mkdir(replaced, { recursive: true, mode: 0o700 });
    for (const name of identityFirst(await namesIn(directory))) await rename(join(directory, name), join(replaced, name));
    await flushDirectory(replaced);
    await rename(staged, placed);
    await flushDirectory(directory);
  }
  if (!existsSync(placed)) return;
  for (const name of identityFirst(await namesIn(placed)).toReversed()) await rename(join(placed, name), join(directory, name));
  await flushDirectory(directory);
}

/** All that has to follow is done too. */
export async function endSwap({ auditDir, sealedDir }: Places): Promise<void> {
  for (const directory of new Set([sealedDir, auditDir])) {
    await rm(join(directory, PLACED), { recursive: true, force: true });
    await flushDirectory(directory);
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => !STAYS.has(name) && !ASIDE.test(name));
}

function identityFirst(names: readonly string[]): readonly string[] {
  return names.toSorted((a, b) => Number(b === INSTANCE_FILES.identity) - Number(a === INSTANCE_FILES.identity));
}

/** As their only writer; throws, naming the process, where there is one. */
async function holding(places: Places, work: () => Promise<void>): Promise<void> {
  const release: (() => Promise<void>)[] = [];
  try {
    for (const directory of new Set([places.auditDir, places.sealedDir])) {
      await nodeFiles.mkdir(directory);
      release.push(await takeLock(nodeFiles, directory, systemProcesses));
    }
    await work();
  } finally {
    for (const one of release) await one();
  }
}
