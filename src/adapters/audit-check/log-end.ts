import type { Journal } from './journal.ts';
import type { LogFiles } from './log-files.ts';
import { TILE_WIDTH, tilePath } from '../../core/log/tiles.ts';
import { readJournal } from './journal.ts';

/** A log that is being written may drop files of the journal between the listing and the reading. */
const ATTEMPTS = 5;
/** So many bundles ahead say enough. */
const AHEAD_MAX = 64;

/**
 * Whether the files hold entries behind the end of the log, which was at `size` at least. Tiles are written for entries
 * that the journal has: while they are looked at first, and the journal is read then, none of a log that is whole goes
 * further, though it grows meanwhile.
 */
export function goesBeyondItsEnd(files: LogFiles, size: number): boolean {
  const first = Math.floor(size / TILE_WIDTH);
  let last = first;
  while (last - first < AHEAD_MAX && files.has('entries', last + 1, 1)) last++;
  const tilesEnd = last * TILE_WIDTH + widthOf(files, last);
  return tilesEnd > Math.max(size, endOfJournal(files));
}

function widthOf(files: LogFiles, bundle: number): number {
  if (files.has('entries', bundle, TILE_WIDTH)) return TILE_WIDTH;
  return Math.max(0, ...files.names(`${tilePath('entries', bundle)}.p`).filter((name) => /^[1-9]\d{0,2}$/.test(name)).map(Number));
}

function endOfJournal(files: LogFiles): number {
  let journal: Journal | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    journal = readJournal(files);
    if ((journal?.faults.length ?? 0) === 0) break;
  }
  return journal === undefined ? 0 : journal.firstIndex + journal.entries.length;
}
