import { close, closeSync, fdatasync, fsync, mkdir, open, openSync, readFile, readFileSync, readdir, readdirSync, rename, rmdir, truncate, unlink, writeFile, writeSync } from 'node:fs';
import { promisify } from 'node:util';

/** All that the file log asks of the file system: narrow, so that a test can make any one of these calls fail. */
export interface FileLayer {
  /** Undefined when it is not there. */
  readNow(path: string): Buffer | undefined;
  /** Names in a directory; none when it is not there. */
  listNow(path: string): readonly string[];
  read(path: string): Promise<Buffer | undefined>;
  list(path: string): Promise<readonly string[]>;

  /** A new file, or one emptied; `wx` refuses one that is there. For the owner alone, as all files. */
  open(path: string, flags: 'w' | 'wx'): number;
  /** All of the bytes at the end of what was written; throws when only a part got there. */
  write(fd: number, bytes: Buffer): void;
  /** The file's bytes are on the disk. */
  flush(fd: number): Promise<void>;
  close(fd: number): void;

  writeFile(path: string, bytes: Buffer): Promise<void>;
  truncate(path: string, size: number): Promise<void>;
  /** A file's bytes or a directory's names are on the disk. */
  sync(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** With all that is missing above it; nothing when it is there. */
  mkdir(path: string): Promise<void>;
  /** An empty directory. */
  rmdir(path: string): Promise<void>;
}

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

const call = { close: promisify(close), fdatasync: promisify(fdatasync), fsync: promisify(fsync), mkdir: promisify(mkdir), open: promisify(open), readFile: promisify(readFile), readdir: promisify(readdir), rename: promisify(rename), rmdir: promisify(rmdir), truncate: promisify(truncate), unlink: promisify(unlink), writeFile: promisify(writeFile) };

export const nodeFiles: FileLayer = {
  readNow: (path) => unlessMissing(() => readFileSync(path), undefined),
  listNow: (path) => unlessMissing(() => readdirSync(path), []),
  read: (path) => call.readFile(path).catch((fault: unknown) => ifMissing(fault, undefined)),
  list: (path) => call.readdir(path).catch((fault: unknown) => ifMissing(fault, [])),

  open: (path, flags) => openSync(path, flags, FILE_MODE),
  write(fd, bytes) {
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
  },
  flush: (fd) => call.fdatasync(fd),
  close: closeSync,

  writeFile: (path, bytes) => call.writeFile(path, bytes, { mode: FILE_MODE }),
  truncate: (path, size) => call.truncate(path, size),
  async sync(path) {
    const fd = await call.open(path, 'r');
    try {
      await call.fsync(fd);
    } finally {
      await call.close(fd);
    }
  },
  rename: (from, to) => call.rename(from, to),
  unlink: (path) => call.unlink(path),
  async mkdir(path) {
    await call.mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  },
  rmdir: (path) => call.rmdir(path),
};

export function isMissing(fault: unknown): boolean {
  return fault instanceof Error && 'code' in fault && fault.code === 'ENOENT';
}

function ifMissing<T>(fault: unknown, missing: T): T {
  if (isMissing(fault)) return missing;
  throw fault;
}

function unlessMissing<T>(read: () => T, missing: T): T {
  try {
    return read();
  } catch (fault) {
    return ifMissing(fault, missing);
  }
}
