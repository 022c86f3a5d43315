import type { Frame } from '../audit-log/storage.ts';
import type { FileLayer } from './file-layer.ts';
import type { JournalFile } from './journal-reader.ts';
import { join } from 'node:path';
import { sealFrame } from './frame.ts';
import { goodBytes, journalFiles, journalPath } from './journal-reader.ts';

/** The entries that are not in flushed tiles yet. */
export interface Journal {
  append(frame: Frame): void;
  flush(): Promise<void>;
  restart(firstIndex: number, unflushed: Frame | undefined): Promise<void>;
  /** What was found is good: torn ends are cut off, and all of it is flushed. */
  begin(size: number): Promise<void>;
  /** Deletes the files before the one that begins here, the oldest first: at no time is one missing between two others. */
  dropBelow(firstIndex: number): Promise<void>;
  bytes(): number;
  close(): void;
}

interface OlderFile extends JournalFile {
  readonly bytes: number;
}

interface OpenFile extends JournalFile {
  readonly fd: number;
  bytes: number;
  flushedBytes: number;
}

/** Before a journal is begun anew after a fault, so much is written to see whether the disk takes it. */
const PROBE_BYTES = 1 << 16;

export function createJournal(files: FileLayer, directory: string): Journal {
  const older: OlderFile[] = [];
  let open: OpenFile | undefined;
  /** A file whose write or flush failed is not written again. */
  let isTrusted = false;

  const probe = async (): Promise<void> => {
    const path = join(directory, 'probe.tmp');
    try {
      await files.writeFile(path, Buffer.alloc(PROBE_BYTES));
      await files.sync(path);
    } finally {
      await files.unlink(path).catch(() => undefined);
    }
  };

  /** Made beside and renamed: where a file of this name is there already, it holds nothing that counts but what this one holds too. */
  const create = async (firstIndex: number, unflushed: Frame | undefined): Promise<OpenFile> => {
    const path = journalPath(directory, firstIndex);
    if (unflushed !== undefined) sealFrame(unflushed, true);
    const fd = files.open(`${path}.tmp`, 'w');
    try {
      if (unflushed !== undefined) files.write(fd, unflushed.bytes);
      await files.flush(fd);
      await files.rename(`${path}.tmp`, path);
      await files.sync(directory);
    } catch (fault) {
      files.close(fd);
      throw fault;
    }
    const bytes = unflushed?.bytes.length ?? 0;
    return { path, firstIndex, fd, bytes, flushedBytes: bytes };
  };

  /** Only tidies up: what stands beyond its last flush is void, since the next file begins there. */
  const retire = async (file: OpenFile, isWhole: boolean): Promise<void> => {
    files.close(file.fd);
    if (file.path === open?.path) return;
    older.push({ path: file.path, firstIndex: file.firstIndex, bytes: file.flushedBytes });
    if (!isWhole) await files.truncate(file.path, file.flushedBytes).catch(() => undefined);
  };

  const restart = async (firstIndex: number, unflushed: Frame | undefined): Promise<void> => {
    const before = open;
    const isWhole = isTrusted;
    if (before !== undefined && !isWhole) await probe();
    isTrusted = false;
    open = await create(firstIndex, unflushed);
    isTrusted = true;
    if (before !== undefined) await retire(before, isWhole);
  };

  return {
    append(frame) {
      if (open === undefined || !isTrusted) throw new Error('the journal is to be begun anew first');
      isTrusted = false;
      sealFrame(frame, open.bytes === open.flushedBytes);
      files.write(open.fd, frame.bytes);
      open.bytes += frame.bytes.length;
      isTrusted = true;
    },
    async flush() {
      if (open === undefined || !isTrusted) throw new Error('the journal is to be begun anew first');
      isTrusted = false;
      await files.flush(open.fd);
      open.flushedBytes = open.bytes;
      isTrusted = true;
    },
    restart,
    async begin(size) {
      await files.mkdir(directory);
      for (const name of files.listNow(directory)) if (name.endsWith('.tmp')) await files.unlink(join(directory, name));
      for (const { path, firstIndex } of journalFiles(files, directory)) {
        const file = files.readNow(path) ?? Buffer.alloc(0);
        const bytes = goodBytes(file);
        if (bytes < file.length) await files.truncate(path, bytes);
        await files.sync(path);
        if (firstIndex < size) older.push({ path, firstIndex, bytes });
      }
      await restart(size, undefined);
    },
    async dropBelow(firstIndex) {
      for (const file of older.filter((one) => one.firstIndex < firstIndex)) {
        await files.unlink(file.path);
        older.splice(older.indexOf(file), 1);
        await files.sync(directory);
      }
    },
    bytes: () => older.reduce((total, { bytes }) => total + bytes, open?.bytes ?? 0),
    close() {
      if (open !== undefined) files.close(open.fd);
      open = undefined;
    },
  };
}
