import type { EntryRun } from '../audit-log/storage.ts';
import type { FileLayer } from './file-layer.ts';
import { join } from 'node:path';
import { IntegrityFault } from '../audit-log/integrity-fault.ts';
import { findFlushedFrame, readFrame } from './frame.ts';

export interface JournalFile {
  readonly path: string;
  readonly firstIndex: number;
}

const NAME = /^\d{16}$/;

export function journalPath(directory: string, firstIndex: number): string {
  return join(directory, String(firstIndex).padStart(16, '0'));
}

/** In the order of their entries. What a crash left half made has another name. */
export function journalFiles(files: Pick<FileLayer, 'listNow'>, directory: string): readonly JournalFile[] {
  return files.listNow(directory).filter((name) => NAME.test(name)).toSorted().map((name) => ({ path: join(directory, name), firstIndex: Number(name) }));
}

/**
 * The journal's entries in their order. A file ends where the next one begins: what stands there beyond that was
 * void when the next one was made. A last frame that is torn was never answered; damage anywhere else throws.
 */
export function* readJournal(files: Pick<FileLayer, 'listNow' | 'readNow'>, directory: string): Generator<EntryRun> {
  const all = journalFiles(files, directory);
  for (const [i, { path, firstIndex }] of all.entries()) {
    yield* runsOf(files.readNow(path) ?? Buffer.alloc(0), firstIndex, all[i + 1]?.firstIndex);
  }
}

function* runsOf(file: Buffer, firstIndex: number, nextFileIndex: number | undefined): Generator<EntryRun> {
  let next = firstIndex;
  for (let offset = 0; offset < file.length && next < (nextFileIndex ?? Infinity);) {
    const frame = readFrame(file, offset);
    if (frame === undefined) {
      const good = findFlushedFrame(file, offset + 1);
      if (good !== undefined) throw new IntegrityFault(`entry ${next}: its frame in the journal is damaged, and a good one follows at entry ${good.firstIndex}`);
      return;
    }
    if (frame.firstIndex !== next) throw new IntegrityFault(`entry ${next}: the journal goes on with entry ${frame.firstIndex} in its place`);
    const entries = frame.entries.slice(0, (nextFileIndex ?? Infinity) - next);
    yield { firstIndex: next, entries };
    next += entries.length;
    offset = frame.end;
  }
}

/** Bytes of a file up to the end of its last good frame. */
export function goodBytes(file: Buffer): number {
  let offset = 0;
  for (let frame = readFrame(file, 0); frame !== undefined; frame = readFrame(file, offset)) offset = frame.end;
  return offset;
}
