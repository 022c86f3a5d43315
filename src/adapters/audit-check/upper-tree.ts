import type { LogFault } from './faults.ts';
import type { LogFiles } from './log-files.ts';
import { HASH_BYTES } from '../../../client/src/log/hash.ts';
import { foldRoots, subtreeRoots } from '../../core/log/subtrees.ts';
import { TILE_WIDTH, tilePath, tileWidth } from '../../core/log/tiles.ts';
import { createTreeEdge } from '../../core/log/tree-edge.ts';
import { firstWrongHash } from './bundle.ts';

/** The tree above the bundles, made of their roots, and held against its tiles as it grows. */
export interface UpperTree {
  /** The roots of a stretch's bundles; stretches may come in any order. */
  add(index: number, roots: Buffer): void;
  /** The root with these leaves as the last, partial bundle; once all stretches are there. */
  rootWith(leaves: Buffer): Buffer;
  /** Holds the partial tiles against what they should be. */
  finish(): void;
}

export interface UpperTreeDeps {
  readonly files: LogFiles;
  readonly size: number;
  /** Stretches below this one are not read: their hashes are taken from the tiles, and the root tells whether they are right. */
  readonly fromStretch: number;
  report(fault: LogFault): void;
}

/** A full stretch has a hash in a tile of this level. */
const LEVEL = 2;

export function createUpperTree({ files, size, fromStretch, report }: UpperTreeDeps): UpperTree {
  // A tree of trees: each of its leaves stands for a full stretch.
  const edge = createTreeEdge();
  const waiting = new Map<number, Buffer>();
  let rest: Buffer = Buffer.alloc(0);

  const hold = (level: number, index: number, width: number, expected: Buffer): void => {
    const found = files.hashes(level, index, width);
    if (found?.equals(expected) === true) return;
    report({ kind: 'tile', file: tilePath(level, index, width), what: found === undefined ? 'is missing, or has not the length that its name says' : `hash ${firstWrongHash(found, expected)} is not that of the tile below it` });
  };

  const grow = (): void => {
    for (let next = waiting.get(edge.size()); next !== undefined; next = waiting.get(edge.size())) {
      waiting.delete(edge.size());
      edge.append(next);
    }
    for (const { level, index, width, bytes } of edge.takeFullTiles()) hold(level + LEVEL, index, width, bytes);
  };

  for (let stretch = 0; stretch < fromStretch; stretch += TILE_WIDTH) {
    const index = stretch / TILE_WIDTH;
    const hashes = files.hashes(LEVEL, index, tileWidth(size, LEVEL, index)) ?? Buffer.alloc(TILE_WIDTH * HASH_BYTES);
    for (let at = 0; at < Math.min(TILE_WIDTH, fromStretch - stretch); at++) edge.append(hashes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES));
  }

  return {
    add(index, roots) {
      if (roots.length < TILE_WIDTH * HASH_BYTES) rest = roots;
      else waiting.set(index, foldRoots(subtreeRoots(roots)));
      grow();
    },
    rootWith: (leaves) => foldRoots([...edge.partialTiles().toReversed().flatMap(({ bytes }) => subtreeRoots(bytes)), ...subtreeRoots(rest), ...subtreeRoots(leaves)]),
    finish() {
      for (const { level, index, width, bytes } of edge.partialTiles()) hold(level + LEVEL, index, width, bytes);
    },
  };
}
