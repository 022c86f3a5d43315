import type { TileName } from '../../core/log/tiles.ts';
import { TILE_WIDTH, tileWidth } from '../../core/log/tiles.ts';

/** The partial tiles and the partial bundle at the right edge of a tree of this size. */
export function partialsOf(size: number): readonly TileName[] {
  const partials: TileName[] = [];
  const add = (level: TileName['level'], hashes: number): void => {
    const index = Math.floor(hashes / TILE_WIDTH);
    const width = tileWidth(size, level, index);
    if (width > 0) partials.push({ level, index, width });
  };
  add('entries', size);
  for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / TILE_WIDTH)) add(level, hashes);
  return partials;
}
