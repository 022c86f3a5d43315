import type { FileLayer } from '../audit-file/file-layer.ts';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isMissing, nodeFiles } from '../audit-file/file-layer.ts';

/** A small file that is only ever replaced whole. */
export interface DurableFile {
  read(): Promise<Buffer>;
  /** As `replaceDurably`. */
  replace(content: string): Promise<void>;
}

export function durableFile(path: string): DurableFile {
  return {
    read: () => readFile(path),
    replace: (content) => replaceDurably(path, Buffer.from(content, 'utf8')),
  };
}

/** Durable when it returns, and private. After a crash at any point the old or the new content is there, never a part of one. */
export function replaceDurably(path: string, bytes: Buffer, files: FileLayer = nodeFiles): Promise<void> {
  return replaceBy(path, files, async (beside) => {
    await files.writeFile(beside, bytes);
    await files.sync(beside);
  });
}

/** The same of a content that is larger than what should be in memory at once; gives its length. */
export async function replaceInPieces(path: string, pieces: AsyncIterable<Buffer>, files: FileLayer): Promise<number> {
  let lengthBytes = 0;
  await replaceBy(path, files, async (beside) => {
    const fd = files.open(beside, 'w');
    try {
      for await (const piece of pieces) {
        files.write(fd, piece);
        lengthBytes += piece.length;
      }
      await files.flush(fd);
    } finally {
      files.close(fd);
    }
  });
  return lengthBytes;
}

async function replaceBy(path: string, files: FileLayer, writeTo: (beside: string) => Promise<void>): Promise<void> {
  // One writer at a time, so the name beside it is fixed. What a crash left there may be anybody's to read.
  const beside = `${path}.tmp`;
  await files.unlink(beside).catch(unlessMissing);
  await leavingNothing(files, beside, async () => {
    await writeTo(beside);
    await files.rename(beside, path);
  });
  await flushDirectory(dirname(path), files);
}

/** Makes a private file, durable when it returns; `EEXIST` when something has the name already. */
export async function createDurably(path: string, content: string | Buffer): Promise<void> {
  const fd = nodeFiles.open(path, 'wx');
  await leavingNothing(nodeFiles, path, async () => {
    try {
      // Bytes are written as they are: a copy of a key would stay behind.
      nodeFiles.write(fd, typeof content === 'string' ? Buffer.from(content) : content);
      await nodeFiles.flush(fd);
    } finally {
      nodeFiles.close(fd);
    }
  });
  await flushDirectory(dirname(path));
}

/** Only then does a new name in the directory outlive a crash. */
export function flushDirectory(path: string, files: FileLayer = nodeFiles): Promise<void> {
  return files.sync(path);
}

async function leavingNothing(files: FileLayer, path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (fault) {
    await files.unlink(path).catch(() => undefined);
    throw fault;
  }
}

function unlessMissing(fault: unknown): void {
  if (!isMissing(fault)) throw fault;
}
