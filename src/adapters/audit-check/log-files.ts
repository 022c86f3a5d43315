import type { TileLevel } from '../../core/log/tiles.ts';
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { HASH_BYTES } from '../../../client/src/log/hash.ts';
import { TILE_WIDTH, tilePath } from '../../core/log/tiles.ts';

interface TileFile {
  /** Relative to the log's directory. */
  readonly path: string;
  /** How many hashes or entries it holds, by its name: at least as many as were asked for. */
  readonly width: number;
  readonly bytes: Buffer;
}

/** The files of a log, read without waiting for anything else: whoever checks has nothing else to do. Undefined is a file that is not there. */
export interface LogFiles {
  bytes(path: string): Buffer | undefined;
  /** What is in a directory, and below it if asked for; nothing when it is not there. */
  names(path: string, isDeep?: boolean): readonly string[];
  /** Entries, in memory that the next bundle is read into as well. */
  bundle(index: number, width: number): TileFile | undefined;
  /** The hashes of a tile; undefined too when the file has another length than its name says. */
  hashes(level: number, index: number, width: number): Buffer | undefined;
  /** Whether there is a tile or bundle of this width, or a wider one. */
  has(level: TileLevel, index: number, width: number): boolean;
  /** Whether the archive has this bundle. */
  isArchived(index: number): boolean;
}

/** The log may be growing: between listing and reading, a partial tile can give way to a wider one. */
const ATTEMPTS = 5;
const BUNDLE_BYTES = 1024 ** 2;

/** Where `audit prune` has put a bundle: as it was, compressed, under its own name. */
export function archivePath(archive: string, index: number): string {
  return join(archive, `${tilePath('entries', index)}.gz`);
}

/** The files below the log's directory; the bundles that were pruned come from the archive, where there is one. */
export function openLogFiles(directory: string, archive?: string): LogFiles {
  let shared = Buffer.allocUnsafeSlow(BUNDLE_BYTES);

  const readShared = (path: string): Buffer | undefined => unlessMissing(() => {
    const file = openSync(join(directory, path), 'r');
    try {
      const { size } = fstatSync(file);
      if (size > shared.length) shared = Buffer.allocUnsafeSlow(size);
      return shared.subarray(0, readSync(file, shared, 0, size, 0));
    } finally {
      closeSync(file);
    }
  });
  const archived = (index: number): TileFile | undefined => {
    const packed = archive === undefined ? undefined : unlessMissing(() => readFileSync(archivePath(archive, index)));
    return packed && { path: archivePath('', index), width: TILE_WIDTH, bytes: unpack(packed) };
  };
  const bytes = (path: string): Buffer | undefined => unlessMissing(() => readFileSync(join(directory, path)));
  const names = (path: string, recursive = false): readonly string[] => unlessMissing(() => readdirSync(join(directory, path), { recursive, encoding: 'utf8' })) ?? [];

  /** The tile of this width, or a wider one of which it is the beginning: a log that grows drops those it has outgrown. */
  const find = (level: TileLevel, index: number, width: number, read: (path: string) => Buffer | undefined): TileFile | undefined => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const candidates = attempt === 0 ? [width, TILE_WIDTH] : widthsFrom(width, names(`${tilePath(level, index)}.p`));
      for (const candidate of candidates) {
        const path = tilePath(level, index, candidate);
        const found = read(path);
        if (found !== undefined) return { path, width: candidate, bytes: found };
      }
      if (width === TILE_WIDTH) return undefined;
    }
    return undefined;
  };

  return {
    bytes, names,
    bundle: (index, width) => find('entries', index, width, readShared) ?? archived(index),
    hashes(level, index, width) {
      const tile = find(level, index, width, bytes);
      return tile?.bytes.length === (tile?.width ?? 0) * HASH_BYTES ? tile?.bytes.subarray(0, width * HASH_BYTES) : undefined;
    },
    has: (level, index, width) => find(level, index, width, bytes) !== undefined,
    isArchived: (index) => archive !== undefined && existsSync(archivePath(archive, index)),
  };
}

/** The widths of the partial tiles in a directory that are wide enough, the nearest first; then the full one. */
function widthsFrom(width: number, names: readonly string[]): readonly number[] {
  const widths = names.filter((name) => /^[1-9]\d{0,2}$/.test(name)).map(Number).filter((one) => one >= width && one < TILE_WIDTH);
  return [...widths.toSorted((a, b) => a - b), TILE_WIDTH];
}

/** What does not unpack has no entries in it, and is named for that. */
function unpack(packed: Buffer): Buffer {
  try {
    return gunzipSync(packed);
  } catch {
    return Buffer.alloc(0);
  }
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (fault) {
    if (fault instanceof Error && 'code' in fault && (fault.code === 'ENOENT' || fault.code === 'ENOTDIR')) return undefined;
    throw fault;
  }
}
