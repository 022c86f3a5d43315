import type { TileLevel } from '../../core/log/tiles.ts';
import type { Tile } from '../audit-log/storage.ts';
import type { FileLayer } from './file-layer.ts';
import { dirname, join } from 'node:path';
import { TILE_WIDTH, tilePath } from '../../core/log/tiles.ts';
import { partialsOf } from '../audit-log/partials.ts';
import { cut } from '../audit-log/reader.ts';
import { isMissing } from './file-layer.ts';

/** Tiles and entry bundles as tlog-tiles lays them out, below the log's directory. */
export interface TileFiles {
  write(tile: Tile): Promise<void>;
  read(level: TileLevel, index: number, width: number): Promise<Buffer | undefined>;
  /** Of this width, cut from the narrowest wider one where need be. */
  readNow(level: TileLevel, index: number, width: number): Buffer | undefined;
  /** The partial tiles of a tree of this size are there already, and flushed: they are not written again. */
  protect(size: number): void;
  keepPartialsOf(sizes: readonly number[]): Promise<void>;
  /** All written since the last time is on the disk. */
  sync(): Promise<void>;
}

/** The journal's flush has to find a thread of the pool free. */
const SYNCS_AT_ONCE = 3;

export function createTileFiles(files: FileLayer, directory: string): TileFiles {
  /** Whether the flush has failed: then only what is written anew will be written to the disk. */
  const unflushed = new Map<string, boolean>();
  /** Partial tiles known to be there as they should be. Writing one again could lose it in a crash. */
  const present = new Set<string>();
  /** Directories of partial tiles that may hold some nobody needs. */
  const untidy = new Set<string>();

  /** A process before this one may have left some beside any tile that is written again. */
  let isAfterStart = true;

  const write = async (path: string, bytes: Buffer): Promise<void> => {
    try {
      await files.writeFile(path, bytes);
    } catch (fault) {
      if (!isMissing(fault)) throw fault;
      await files.mkdir(dirname(path));
      await files.writeFile(path, bytes);
    }
  };

  const tidy = async (partials: string, kept: ReadonlySet<string>): Promise<void> => {
    const names = await files.list(partials);
    const idle = names.map((name) => join(partials, name)).filter((path) => !kept.has(path));
    for (const path of idle) {
      await files.unlink(path);
      present.delete(path);
      unflushed.delete(path);
    }
    if (idle.length < names.length) return;
    if (names.length > 0) await files.rmdir(partials);
    untidy.delete(partials);
  };

  const flush = async (path: string): Promise<void> => {
    const bytes = unflushed.get(path) === true ? await files.read(path) : undefined;
    if (bytes !== undefined) await files.writeFile(path, bytes);
    unflushed.set(path, true);
    await files.sync(path);
    unflushed.set(path, false);
  };

  return {
    async write({ level, index, width, bytes }) {
      const path = join(directory, tilePath(level, index, width));
      if (width < TILE_WIDTH || isAfterStart) untidy.add(partialsBeside(join(directory, tilePath(level, index))));
      if (present.has(path)) return;
      await write(path, bytes);
      unflushed.set(path, false);
      if (width < TILE_WIDTH) present.add(path);
    },
    read: (level, index, width) => files.read(join(directory, tilePath(level, index, width))),
    readNow(level, index, width) {
      const full = join(directory, tilePath(level, index));
      const widths = files.listNow(partialsBeside(full)).map(Number).filter((there) => there >= width).toSorted((a, b) => a - b);
      for (const there of [...widths, TILE_WIDTH]) {
        const bytes = files.readNow(join(directory, tilePath(level, index, there)));
        if (bytes !== undefined) return there === width ? bytes : cut(level, bytes, width);
      }
      return undefined;
    },
    protect(size) {
      for (const path of partialPaths(directory, size)) {
        present.add(path);
        untidy.add(dirname(path));
      }
    },
    async keepPartialsOf(sizes) {
      const kept = new Set(sizes.flatMap((size) => partialPaths(directory, size)));
      await Promise.all([...untidy].map((partials) => tidy(partials, kept)));
      isAfterStart = false;
    },
    async sync() {
      const paths = [...unflushed.keys()];
      for (let at = 0; at < paths.length; at += SYNCS_AT_ONCE) await Promise.all(paths.slice(at, at + SYNCS_AT_ONCE).map(flush));
      const directories = new Set<string>([directory]);
      // A new directory is a name in the one above it.
      for (const path of paths) for (let above = dirname(path); !directories.has(above); above = dirname(above)) directories.add(above);
      for (const path of directories) await files.sync(path);
      for (const path of paths) unflushed.delete(path);
    },
  };
}

/** Where the partial ones of a tile are. */
function partialsBeside(fullPath: string): string {
  return `${fullPath}.p`;
}

function partialPaths(directory: string, size: number): string[] {
  return partialsOf(size).map(({ level, index, width }) => join(directory, tilePath(level, index, width)));
}
