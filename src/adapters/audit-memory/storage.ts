import type { TileLevel } from '../../core/log/tiles.ts';
import type { LogStorage, Tile } from '../audit-log/storage.ts';
import { TILE_WIDTH, tilePath } from '../../core/log/tiles.ts';
import { partialsOf } from '../audit-log/partials.ts';

/** So much of all that is kept may be entries that no checkpoint covers yet. */
const TAIL_SHARE = 1 / 8;

/** Nothing here outlives the process, so nothing has to be flushed. */
const done = async (): Promise<void> => undefined;

/**
 * The log of a service that leaves nothing behind: the newest entries, and the tiles that prove them, in so many
 * bytes. The oldest bundle goes first, and with it the tiles that no proof of a kept entry passes through.
 */
export function createMemoryStorage(maxBytes: number): LogStorage {
  const tailMaxBytes = Math.floor(maxBytes * TAIL_SHARE);
  const full = createFullTiles(maxBytes - tailMaxBytes);
  const partials = new Map<string, Buffer>();

  return {
    stored: { checkpoint: () => undefined, state: () => undefined, tile: () => undefined, journalFrom: () => undefined, journal: () => [] },
    begin: done,
    tailMaxBytes,
    headRoomBytes: 0,
    append: () => undefined,
    flush: done,
    restart: done,
    journalBytes: () => 0,
    async writeTile(tile) {
      if (tile.width === TILE_WIDTH) full.add(tile);
      else partials.set(tilePath(tile.level, tile.index, tile.width), Buffer.from(tile.bytes));
    },
    readTile: async (level, index, width) => (width === TILE_WIDTH ? full.get(level, index) : partials.get(tilePath(level, index, width))),
    async keepPartialsOf(sizes) {
      const kept = new Set(sizes.flatMap((size) => partialsOf(size).map(({ level, index, width }) => tilePath(level, index, width))));
      for (const path of partials.keys()) if (!kept.has(path)) partials.delete(path);
    },
    writeCheckpoint: done,
    seal: async () => ({ stateBytes: 0 }),
    minimumIndex: full.minimumIndex,
    close: done,
  };
}

interface FullTiles {
  add(tile: Tile): void;
  get(level: TileLevel, index: number): Buffer | undefined;
  /** The first entry of the oldest bundle, or of the one that comes first. */
  minimumIndex(): number;
}

function createFullTiles(maxBytes: number): FullTiles {
  const levels = new Map<TileLevel, Map<number, Buffer>>();
  let bytes = 0;
  let minimumIndex = 0;

  const drop = (tiles: Map<number, Buffer>, below: number): void => {
    // In the order they came in, which is that of their indices.
    for (const [index, tile] of tiles) {
      if (index >= below) return;
      tiles.delete(index);
      bytes -= tile.length;
    }
  };

  /** A proof of entry i needs at each level the tile that i is below; all further left is in the hashes above. */
  const dropOldestBundle = (): void => {
    minimumIndex += TILE_WIDTH;
    for (const [level, tiles] of levels) drop(tiles, Math.floor(minimumIndex / TILE_WIDTH ** (level === 'entries' ? 1 : level + 1)));
  };

  const isTooMuch = (): boolean => bytes > maxBytes && (levels.get('entries')?.size ?? 0) > 0;

  return {
    add({ level, index, bytes: given }) {
      const tiles = levels.get(level) ?? new Map<number, Buffer>();
      levels.set(level, tiles);
      // A copy of its own size: what is given may be a part of something larger.
      tiles.set(index, Buffer.from(given));
      bytes += given.length;
      while (isTooMuch()) dropOldestBundle();
    },
    get: (level, index) => levels.get(level)?.get(index),
    minimumIndex: () => minimumIndex,
  };
}
