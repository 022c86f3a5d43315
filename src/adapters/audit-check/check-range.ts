import type { OwnEntry } from './check-bundle.ts';
import type { EntryOrder } from './entry-order.ts';
import type { LogFault } from './faults.ts';
import { HASH_BYTES } from '../../../client/src/log/hash.ts';
import { foldRoots, subtreeRoots } from '../../core/log/subtrees.ts';
import { TILE_WIDTH, tilePath } from '../../core/log/tiles.ts';
import { checkBundle } from './check-bundle.ts';
import { openLogFiles } from './log-files.ts';

/** Full bundles in a row; the first stands at the beginning of a stretch. */
export interface RangeJob {
  readonly directory: string;
  /** Where the bundles are that were pruned. */
  readonly archive?: string | undefined;
  readonly from: number;
  readonly to: number;
  /** Bundles below this one were pruned. */
  readonly prunedBelow: number;
}

/** So many bundles as one tile of level 1 has hashes: what a range tells of at once. */
export interface Stretch {
  /** The place of its level 1 tile. */
  readonly index: number;
  /** The roots of its bundles: the hashes of that tile. */
  readonly roots: Uint8Array;
  readonly own: readonly OwnEntry[];
}

/** Where what a range finds goes. */
export interface RangeSinks {
  readonly order: EntryOrder;
  readonly report: (fault: LogFault) => void;
  readonly tell: (stretch: Stretch) => void;
}

/** Checks every entry of the range, and the tiles of level 0 and 1 over them. */
export function checkRange({ directory, archive, from, to, prunedBelow }: RangeJob, { order, report, tell }: RangeSinks): void {
  const files = openLogFiles(directory, archive);
  let own: OwnEntry[] = [];
  const check = { files, order, report, own: (entry: OwnEntry): void => { own.push(entry); } };
  if (from < prunedBelow) order.skip();

  for (let first = from; first < to; first += TILE_WIDTH) {
    const index = first / TILE_WIDTH;
    const width = Math.min(TILE_WIDTH, to - first);
    const above = files.hashes(1, index, width);
    if (above === undefined) report({ kind: 'tile', file: tilePath(1, index, width), what: 'is missing, or has not the length that its name says' });
    const roots = Buffer.from(new ArrayBuffer(width * HASH_BYTES));
    for (let at = 0; at < width; at++) {
      const expected = above?.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES);
      const isRight = (leaves: Buffer): boolean | undefined => expected?.equals(rootOver(leaves));
      const leaves = checkBundle(check, { index: first + at, width: TILE_WIDTH, isPruned: first + at < prunedBelow, isRight });
      const root = leaves === undefined ? expected : rootOver(leaves);
      if (root === undefined) continue;
      roots.set(root, at * HASH_BYTES);
      if (expected?.equals(root) === false) report({ kind: 'tile', file: tilePath(1, index, width), what: `hash ${at} is not that of ${tilePath(0, first + at)}` });
    }
    tell({ index, roots, own });
    own = [];
  }
}

function rootOver(leaves: Buffer): Buffer {
  return foldRoots(subtreeRoots(leaves));
}
