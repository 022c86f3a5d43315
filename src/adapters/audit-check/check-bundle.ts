import type { EntryDetail } from '../../core/log/entry.ts';
import type { ReadBundle } from './bundle.ts';
import type { EntryOrder } from './entry-order.ts';
import type { LogFault } from './faults.ts';
import type { LogFiles } from './log-files.ts';
import { TILE_WIDTH, tilePath } from '../../core/log/tiles.ts';
import { firstWrongHash, nameDamage, readBundle } from './bundle.ts';
import { readEntry } from './entry-layout.ts';

/** An entry of the log about itself: what it says of keys and heads is checked once the tree is known. */
export interface OwnEntry {
  readonly index: number;
  readonly op: string;
  readonly detail: EntryDetail;
}

export interface BundleCheck {
  readonly files: LogFiles;
  readonly order: Pick<EntryOrder, 'see' | 'skip'>;
  report(fault: LogFault): void;
  own(entry: OwnEntry): void;
}

type EntryCheck = Omit<BundleCheck, 'files'>;

export interface BundleJob {
  readonly index: number;
  /** How many of its entries the tree has. */
  readonly width: number;
  /** Whether it is below where `prune` has been: its hashes are there, its entries where they name keys of the log. */
  readonly isPruned: boolean;
  /** Whether these leaf hashes are those of the tree, as far as the tiles above tell. */
  readonly isRight: (leaves: Buffer) => boolean | undefined;
}

/** What stands around the entries that `prune` leaves is gone: their order says nothing. */
const UNORDERED: EntryCheck['order'] = { see: () => undefined, skip: () => undefined };

const OF_ITSELF: ReadonlySet<string> = new Set(['log-keys', 'checkpoint-start', 'anchor']);

/**
 * Holds the entries of a bundle against their hash tile, and, where the two disagree, both against the tree above
 * to say which is wrong. Gives the leaf hashes to go on with; undefined where there are none.
 */
export function checkBundle({ files, order, report, own }: BundleCheck, { index, width, isPruned, isRight }: BundleJob): Buffer | undefined {
  const firstIndex = index * TILE_WIDTH;
  const tileFile = tilePath(0, index, width);
  const hashes = files.hashes(0, index, width);
  if (hashes === undefined) report({ kind: 'tile', file: tileFile, what: 'is missing, or has not the length that its name says' });
  const file = files.bundle(index, width);
  if (file === undefined && isPruned) return hashes;
  if (file === undefined) {
    report({ kind: 'missing', index: firstIndex, file: tilePath('entries', index, width), what: `and the entries up to ${firstIndex + width - 1} are missing` });
    order.skip();
    return hashes;
  }
  const bundle = readBundle(file.bytes, width);
  const isWhole = bundle.starts.length === width && (file.width > width || bundle.restBytes === 0);
  const isAsHashed = hashes === undefined || bundle.leaves.equals(hashes);
  // The entries are believed where the tree bears them out: then it is the tile that was changed.
  if (!isWhole || (!isAsHashed && isRight(bundle.leaves) !== true)) {
    if (hashes === undefined) report({ kind: 'entry', index: firstIndex, file: file.path, what: 'and those behind it cannot be told apart' });
    else for (const fault of nameDamage(bundle, hashes, firstIndex, file.path)) report(fault);
    order.skip();
    return hashes;
  }
  if (!isAsHashed) report({ kind: 'tile', file: tileFile, what: `hash ${firstWrongHash(hashes, bundle.leaves)} is not that of its entry` });
  readEntries({ order: isPruned ? UNORDERED : order, report, own }, file.bytes, bundle, firstIndex, file.path);
  return bundle.leaves;
}

function readEntries(check: EntryCheck, bytes: Buffer, { starts, ends }: ReadBundle, firstIndex: number, file: string): void {
  const text = bytes.toString('latin1');
  for (const [at, start] of starts.entries()) seeEntry(check, bytes, { text, start, end: ends[at] ?? start, index: firstIndex + at, file });
}

/** An entry in the bytes it stands among, and the same bytes as Latin-1. */
export interface EntryPlace {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly index: number;
  readonly file: string;
}

/** Looks at the form of an entry that is what was logged, and hands on what it says. */
export function seeEntry({ order, report, own }: EntryCheck, bytes: Buffer, { text, start, end, index, file }: EntryPlace): void {
  const facts = readEntry(bytes, text, start, end);
  if (typeof facts === 'string') {
    report({ kind: 'form', index, file, what: facts });
    order.skip();
    return;
  }
  order.see(index, facts);
  if (facts.detail !== undefined && OF_ITSELF.has(facts.op)) own({ index, op: facts.op, detail: facts.detail });
}
