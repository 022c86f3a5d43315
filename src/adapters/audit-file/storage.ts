import type { LogStorage } from '../audit-log/storage.ts';
import type { FileLayer } from './file-layer.ts';
import type { Processes } from './lock.ts';
import { join } from 'node:path';
import { replaceDurably, replaceInPieces } from '../files/durable-file.ts';
import { systemProcesses } from '../system/processes.ts';
import { nodeFiles } from './file-layer.ts';
import { FRAME_HEAD_ROOM } from './frame.ts';
import { journalFiles, readJournal } from './journal-reader.ts';
import { createJournal } from './journal.ts';
import { takeLock } from './lock.ts';
import { createTileFiles } from './tile-files.ts';

/** The system's own, but in tests. */
export interface FileStorageOptions {
  readonly processes?: Processes;
  readonly files?: FileLayer;
}

const TAIL_MAX_BYTES = 16 << 20;

/**
 * The log in a directory (docs/formats/log.md). Where a crash may fall: entries are in the journal, flushed, before
 * anyone is answered; tiles are written without a flush, since the journal still has all that is in them; only when
 * they were flushed, and after them a state that says so, are the journal's files deleted.
 * This process is the only writer until `close`; throws when another one is.
 */
export async function openFileStorage(directory: string, { processes = systemProcesses, files = nodeFiles }: FileStorageOptions = {}): Promise<LogStorage> {
  await files.mkdir(directory);
  const release = await takeLock(files, directory, processes);
  const journalDirectory = join(directory, 'journal');
  const paths = { checkpoint: join(directory, 'checkpoint'), state: join(directory, 'state'), minimumIndex: join(directory, 'minimum-index') };
  const journal = createJournal(files, journalDirectory);
  const tiles = createTileFiles(files, directory);

  return {
    stored: {
      checkpoint: () => files.readNow(paths.checkpoint)?.toString('utf8'),
      state: () => files.readNow(paths.state),
      tile: tiles.readNow,
      journalFrom: () => journalFiles(files, journalDirectory)[0]?.firstIndex,
      journal: () => readJournal(files, journalDirectory),
    },
    async begin(size, sealedSize) {
      tiles.protect(sealedSize);
      await journal.begin(size);
      await files.sync(directory);
    },
    tailMaxBytes: TAIL_MAX_BYTES,
    headRoomBytes: FRAME_HEAD_ROOM,
    append: journal.append,
    flush: journal.flush,
    restart: journal.restart,
    journalBytes: journal.bytes,
    writeTile: tiles.write,
    readTile: tiles.read,
    keepPartialsOf: tiles.keepPartialsOf,
    writeCheckpoint: (note) => replaceDurably(paths.checkpoint, Buffer.from(note, 'utf8'), files),
    async seal(size, state) {
      await tiles.sync();
      const stateBytes = await replaceInPieces(paths.state, state, files);
      await journal.dropBelow(size);
      return { stateBytes };
    },
    minimumIndex: () => minimumIndexIn(files.readNow(paths.minimumIndex)),
    async close() {
      journal.close();
      await release();
    },
  };
}

/** Written by `audit prune`; nothing was pruned where it is not there. */
function minimumIndexIn(bytes: Buffer | undefined): number {
  const index = Number(bytes?.toString('utf8') ?? 0);
  return Number.isSafeInteger(index) && index > 0 ? index : 0;
}
