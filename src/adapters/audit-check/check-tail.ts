import type { BundleCheck } from './check-bundle.ts';
import type { LogHead } from './log-head.ts';
import { HASH_BYTES, leafHash } from '../../../client/src/log/hash.ts';
import { TILE_WIDTH, tileWidth } from '../../core/log/tiles.ts';
import { restoreTreeEdge } from '../../core/log/tree-edge.ts';
import { seeEntry } from './check-bundle.ts';

/** What the journal has behind the checkpoint: entries that no signature covers yet. */
export interface LogTail {
  readonly size: number;
  /** The root over all entries; undefined where the tiles at the edge are not there. */
  readonly rootHash: Buffer | undefined;
  /** The root at a size behind the checkpoint. */
  rootAt(size: number): Buffer | undefined;
}

/** Holds the journal against the tree as far as that goes, and looks at the entries behind it. */
export function checkTail(check: BundleCheck, { checkpoint: { size }, journal, minimumIndex }: LogHead): LogTail {
  const { files, report } = check;
  if (journal === undefined) return tailOf(check, size, []);
  const { firstIndex, entries } = journal;
  const end = firstIndex + entries.length;
  if (firstIndex > size) {
    report({ kind: 'rolled-back', file: 'checkpoint', what: `covers ${size} entries, and the journal begins with entry ${firstIndex}: it is an older one` });
    return tailOf(check, size, []);
  }
  // A checkpoint covers only what the journal has on the disk.
  if (end < size) report({ kind: 'journal', index: end, what: `is not in the journal, nor is what follows, and the checkpoint covers ${size} entries: the journal was cut off` });

  for (let first = Math.max(firstIndex, minimumIndex); first < Math.min(end, size); first = nextBundle(first)) {
    const index = Math.floor(first / TILE_WIDTH);
    const hashes = files.hashes(0, index, tileWidth(size, 0, index));
    if (hashes === undefined) continue;
    for (let at = first; at < Math.min(nextBundle(first), end, size); at++) {
      const start = (at % TILE_WIDTH) * HASH_BYTES;
      const entry = entries[at - firstIndex];
      if (entry !== undefined && !leafHash(entry).equals(hashes.subarray(start, start + HASH_BYTES))) report({ kind: 'journal', index: at, what: 'is another one in the journal than in the tree' });
    }
  }
  const behind = entries.slice(Math.max(0, size - firstIndex));
  for (const [at, entry] of behind.entries()) seeEntry(check, entry, { text: entry.toString('latin1'), start: 0, end: entry.length, index: size + at, file: 'journal' });
  return tailOf(check, size, behind);
}

function tailOf({ files }: BundleCheck, size: number, entries: readonly Buffer[]): LogTail {
  const grow = (count: number): Buffer | undefined => {
    try {
      const edge = restoreTreeEdge(size, (level, index, width) => files.hashes(level, index, width) ?? Buffer.alloc(0));
      for (const entry of entries.slice(0, count)) edge.append(leafHash(entry));
      return edge.rootHash();
    } catch {
      // A tile is missing, and that was said.
      return undefined;
    }
  };
  return { size: size + entries.length, rootHash: grow(entries.length), rootAt: (at) => (at <= size + entries.length ? grow(at - size) : undefined) };
}

function nextBundle(index: number): number {
  return (Math.floor(index / TILE_WIDTH) + 1) * TILE_WIDTH;
}
