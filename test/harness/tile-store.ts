import type { ReadTile } from '../../src/core/log/proofs.ts';
import type { TreeEdge } from '../../src/core/log/tree-edge.ts';
import { HASH_BYTES } from '../../client/src/log/hash.ts';
import { tilePath } from '../../src/core/log/tiles.ts';

/** Hash tiles by their paths, as a log puts them on disk. */
export interface TileStore {
  readonly tiles: ReadonlyMap<string, Buffer>;
  /** Takes the edge's full tiles, and its partial ones as they are now. */
  write(edge: TreeEdge): void;
  /** A tile, cut from a wider one where there is one. */
  readonly read: ReadTile;
}

export function createTileStore(): TileStore {
  const tiles = new Map<string, Buffer>();
  const widest = new Map<string, Buffer>();
  return {
    tiles,
    write(edge) {
      for (const { level, index, width, bytes } of [...edge.takeFullTiles(), ...edge.partialTiles()]) {
        tiles.set(tilePath(level, index, width), bytes);
        widest.set(`${level}/${index}`, bytes);
      }
    },
    async read(level, index, width) {
      const bytes = widest.get(`${level}/${index}`);
      if (bytes === undefined || bytes.length < width * HASH_BYTES) throw new Error(`there is no ${tilePath(level, index, width)}`);
      return bytes.subarray(0, width * HASH_BYTES);
    },
  };
}
