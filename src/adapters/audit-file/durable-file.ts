import type { FileLayer } from './file-layer.ts';
import { dirname } from 'node:path';

/** After a crash at any point the old or the new content is there, whole; the new one once this returns. */
export async function replaceDurably(files: FileLayer, path: string, bytes: Buffer): Promise<void> {
  const beside = `${path}.tmp`;
  await files.writeFile(beside, bytes);
  await files.sync(beside);
  await files.rename(beside, path);
  await files.sync(dirname(path));
}
