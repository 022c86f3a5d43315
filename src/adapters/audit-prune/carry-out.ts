import type { PrunePlan } from './plan.ts';
import { mkdir, readFile, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { TILE_WIDTH, tilePath } from '../../core/log/tiles.ts';
import { archivePath } from '../audit-check/log-files.ts';
import { replaceDurably } from '../files/durable-file.ts';

export interface PruneOrder {
  readonly directory: string;
  readonly plan: PrunePlan;
  /** Bundles are put here, compressed, before they go; undefined where they go for good. */
  readonly archive: string | undefined;
  readonly onProgress: (entries: number) => void;
}

/**
 * A crash may fall anywhere: `minimum-index` is durable before the first bundle goes, and what it left is pruned the
 * next time. An archive holds a bundle, and was read back, before that.
 */
export async function carryOut({ directory, plan: { minimumIndex, bundles }, archive, onProgress }: PruneOrder): Promise<void> {
  const fileOf = (index: number): string => join(directory, tilePath('entries', index));
  if (archive !== undefined) {
    for (const index of bundles) {
      await archiveBundle(fileOf(index), archivePath(archive, index));
      onProgress(TILE_WIDTH);
    }
  }
  await replaceDurably(join(directory, 'minimum-index'), Buffer.from(`${minimumIndex}\n`));
  for (const index of bundles) await unlink(fileOf(index));
}

async function archiveBundle(from: string, to: string): Promise<void> {
  const bytes = await readFile(from);
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  await replaceDurably(to, gzipSync(bytes));
  if (!gunzipSync(await readFile(to)).equals(bytes)) throw new Error(`${to} does not hold what was written to it: nothing was pruned`);
}
