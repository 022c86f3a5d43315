import { TILE_WIDTH, splitBundle, tilePath, tileWidth } from '../../core/log/tiles.ts';
import { openLogFiles } from './log-files.ts';
import { readLogHead } from './log-head.ts';

/** An entry as it stands in the files; whether it is what was logged, the check has to say. */
interface FiledEntry {
  readonly index: number;
  /** Good until the next one is asked for. */
  readonly bytes: Buffer;
}

/** The entries of a log as its files have them at one moment, those behind the newest checkpoint too. */
export interface LoggedEntries {
  /** The oldest that is there. */
  readonly first: number;
  readonly size: number;
  /** The newest checkpoint: a signed note, and how many entries it covers. */
  readonly note: string;
  readonly covered: number;
  read(from: number, to: number): Generator<FiledEntry>;
  /** The hashes of a tile as the covered tree has it. */
  hashes(level: number, index: number, width: number): Buffer | undefined;
}

/** Undefined where there is no checkpoint, and so no log to read. */
export function openLoggedEntries(directory: string): LoggedEntries | undefined {
  const files = openLogFiles(directory);
  const head = readLogHead(files, () => undefined);
  if (head === undefined) return undefined;
  const { checkpoint: { size: covered }, journal, minimumIndex, note } = head;
  const behind = journal === undefined ? [] : journal.entries.slice(Math.max(0, covered - journal.firstIndex));

  function* covering(from: number, to: number): Generator<FiledEntry> {
    for (let at = from; at < to;) {
      const index = Math.floor(at / TILE_WIDTH);
      const width = tileWidth(covered, 'entries', index);
      const file = files.bundle(index, width);
      const entries = file && splitBundle(file.bytes);
      if (entries === undefined || entries.length < width) throw new Error(`${file?.path ?? tilePath('entries', index, width)} is missing or damaged: ron-kms audit verify tells more`);
      for (; at < Math.min(to, index * TILE_WIDTH + width); at++) yield { index: at, bytes: entries[at % TILE_WIDTH] as Buffer };
    }
  }

  return {
    first: minimumIndex, size: covered + behind.length, note, covered,
    *read(from, to) {
      yield* covering(Math.max(from, minimumIndex), Math.min(to, covered));
      for (const [at, bytes] of behind.entries()) if (covered + at >= from && covered + at < to) yield { index: covered + at, bytes };
    },
    hashes: files.hashes,
  };
}
