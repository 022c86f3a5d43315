import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A small file that is only ever replaced whole. */
export interface DurableFile {
  read(): Promise<Buffer>;
  /** Durable when it returns. After a crash at any point the old or the new content is there, never a part of one. */
  replace(content: string): Promise<void>;
}

const PRIVATE = 0o600;

export function durableFile(path: string): DurableFile {
  return {
    async read() {
      const handle = await open(path);
      try {
        return await handle.readFile();
      } finally {
        await handle.close();
      }
    },
    async replace(content) {
      // One writer at a time, so the name beside it is fixed: what a crash leaves there is overwritten.
      const beside = `${path}.tmp`;
      await writeFlushed(beside, content, 'w');
      await rename(beside, path);
      await flushDirectory(dirname(path));
    },
  };
}

/** Makes a private file, durable when it returns; `EEXIST` when something has the name already. */
export async function createDurably(path: string, content: string | Uint8Array): Promise<void> {
  await writeFlushed(path, content, 'wx');
  await flushDirectory(dirname(path));
}

/** Only then does a new name in the directory outlive a crash. */
export async function flushDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Leaves nothing behind when it fails. */
async function writeFlushed(path: string, content: string | Uint8Array, flags: 'w' | 'wx'): Promise<void> {
  const handle = await open(path, flags, PRIVATE);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } catch (fault) {
    await unlink(path).catch(() => undefined);
    throw fault;
  } finally {
    await handle.close();
  }
}
