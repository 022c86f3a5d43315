import { HASH_BYTES } from '../../../client/src/log/hash.ts';
import { foldRoots, subtreeRoots } from './subtrees.ts';
import { TILE_BYTES, TILE_WIDTH, tileWidth } from './tiles.ts';

export interface HashTile {
  readonly level: number;
  readonly index: number;
  /** 256 when it is full. */
  readonly width: number;
  readonly bytes: Buffer;
}

/**
 * The right edge of a tree that only grows: at each level the tile that is being filled. It is all that a log has to
 * keep in memory, whatever its size.
 */
export interface TreeEdge {
  size(): number;
  append(leafHash: Buffer): void;
  rootHash(): Buffer;
  /** The tiles completed since this was last asked, the lower level first. */
  takeFullTiles(): HashTile[];
  /** What a tree of this size has at its right edge; level 0 first. */
  partialTiles(): HashTile[];
  /** A copy that grows on its own, with the full tiles that were not taken yet. */
  snapshot(): TreeEdge;
}

/** A tile that is being filled. */
interface Filling {
  index: number;
  width: number;
  bytes: Buffer;
}

export function createTreeEdge(): TreeEdge {
  return edgeOf(0, [], []);
}

/** The edge of a tree of this size from its partial tiles. Whether they are the right ones, its root tells. */
export function restoreTreeEdge(size: number, read: (level: number, index: number, width: number) => Buffer): TreeEdge {
  const filling: Filling[] = [];
  for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / TILE_WIDTH)) {
    const index = Math.floor(hashes / TILE_WIDTH);
    const tile = { ...emptyTile(index), width: tileWidth(size, level, index) };
    if (tile.width > 0) {
      const bytes = read(level, index, tile.width);
      if (bytes.length !== tile.width * HASH_BYTES) throw new RangeError(`a tile of ${tile.width} hashes has ${bytes.length} bytes`);
      tile.bytes.set(bytes);
    }
    filling.push(tile);
  }
  return edgeOf(size, filling, []);
}

function edgeOf(startSize: number, filling: Filling[], completed: HashTile[]): TreeEdge {
  let size = startSize;
  let full = completed;

  const push = (level: number, hash: Buffer): void => {
    const tile = (filling[level] ??= emptyTile(0));
    tile.bytes.set(hash, tile.width * HASH_BYTES);
    tile.width += 1;
    if (tile.width < TILE_WIDTH) return;
    full.push({ level, ...tile });
    filling[level] = emptyTile(tile.index + 1);
    push(level + 1, foldRoots(subtreeRoots(tile.bytes)));
  };

  return {
    size: () => size,
    append(leafHash) {
      push(0, leafHash);
      size += 1;
    },
    rootHash: () => foldRoots(filling.toReversed().flatMap((tile) => subtreeRoots(hashesIn(tile)))),
    takeFullTiles() {
      const taken = full;
      full = [];
      return taken;
    },
    partialTiles: () => filling.flatMap((tile, level) => (tile.width === 0 ? [] : [{ level, index: tile.index, width: tile.width, bytes: Buffer.from(hashesIn(tile)) }])),
    snapshot: () => edgeOf(size, filling.map((tile) => ({ ...tile, bytes: Buffer.from(tile.bytes) })), [...full]),
  };
}

function emptyTile(index: number): Filling {
  return { index, width: 0, bytes: Buffer.alloc(TILE_BYTES) };
}

function hashesIn({ width, bytes }: Filling): Buffer {
  return bytes.subarray(0, width * HASH_BYTES);
}
