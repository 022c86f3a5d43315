import type { Io } from './command.ts';
import { randomUUID } from 'node:crypto';
import { open, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from './command.ts';

const SMALL_BYTES_MAX = 64 * 1024;

/** A small file, or standard input for `-`: a token, a key, a signature. */
export async function readSmall(path: string, io: Io): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of path === '-' ? io.stdin() : chunksOf(path, io)) {
    length += chunk.length;
    if (length > SMALL_BYTES_MAX) throw new UsageError(`${nameOf(path)} is over 64 KiB, which is not what is read here`);
    // The buffer of a file is used again for its next part.
    chunks.push(Uint8Array.from(chunk));
  }
  return Buffer.concat(chunks);
}

const PART_BYTES = 1024 ** 2;

/** A file in parts that share one buffer: each is gone with the next. */
export async function* chunksOf(path: string, io: Io): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(resolve(io.cwd, path)).catch(unreadable(path));
  try {
    const buffer = Buffer.allocUnsafe(PART_BYTES);
    for (;;) {
      const { bytesRead } = await handle.read(buffer).catch(unreadable(path));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** The size, where the system knows one before it was read. Not by opening it: a pipe would be spoilt. */
export async function sizeOf(path: string, io: Io): Promise<number | undefined> {
  const stats = await stat(resolve(io.cwd, path)).catch(unreadable(path));
  return stats.isFile() ? stats.size : undefined;
}

/** Whole or not at all: written beside and put in place, so that no reader sees half of it. What is no file, a pipe or `/dev/null`, is written to as it is: nothing takes its place. */
export async function writeWhole(path: string, content: string | Uint8Array, io: Io, { isPrivate }: { readonly isPrivate: boolean }): Promise<void> {
  const target = resolve(io.cwd, path);
  if (await isNoFile(target)) {
    await writeFile(target, content).catch(unwritable(path));
    return;
  }
  const beside = `${target}.${randomUUID()}`;
  const handle = await open(beside, 'wx', isPrivate ? 0o600 : 0o666).catch(unwritable(path));
  try {
    await handle.writeFile(content);
    await handle.sync();
    await handle.close();
    await rename(beside, target);
  } catch (fault) {
    await handle.close().catch(() => undefined);
    await unlink(beside).catch(() => undefined);
    return unwritable(path)(fault);
  }
}

/** As `writeWhole`, for what must not replace anything. */
export async function writeNew(path: string, content: string, io: Io): Promise<void> {
  const handle = await open(resolve(io.cwd, path), 'wx', 0o600).catch((fault: unknown) => {
    if (codeOf(fault) === 'EEXIST') throw new UsageError(`${path} is there already, and is not overwritten`);
    return unwritable(path)(fault);
  });
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function nameOf(path: string): string {
  return path === '-' ? 'standard input' : path;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
  ENOSPC: 'the disk is full',
  EROFS: 'the disk is read-only',
};

function unreadable(path: string): (fault: unknown) => never {
  return (fault) => { throw new UsageError(`cannot read ${path}: ${reasons[codeOf(fault)] ?? codeOf(fault)}`); };
}

function unwritable(path: string): (fault: unknown) => never {
  return (fault) => { throw new UsageError(`cannot write ${path}: ${reasons[codeOf(fault)] ?? codeOf(fault)}`); };
}

function codeOf(fault: unknown): string {
  return fault instanceof Error && 'code' in fault ? String(fault.code) : '';
}

async function isNoFile(target: string): Promise<boolean> {
  const stats = await stat(target).catch(() => undefined);
  return stats !== undefined && !stats.isFile() && !stats.isDirectory();
}
