import { ENTRY_BYTES_MAX, HASH_BYTES } from '../../../client/src/log/hash.ts';

/** A tile is this many hashes wide, an entry bundle this many entries (C2SP tlog-tiles). */
export const TILE_WIDTH = 256;
export const TILE_BYTES = TILE_WIDTH * HASH_BYTES;
export type TileLevel = number | 'entries';

export interface TileName {
  readonly level: TileLevel;
  readonly index: number;
  /** 256 when it is full. */
  readonly width: number;
}

const LENGTH_BYTES = 2;
const LEVEL_MAX = 63;
const TILE_PATH = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/(\d{1,3}))?$/;

/** `tile/0/x001/x234/067.p/12`, below the log's prefix or directory. */
export function tilePath(level: TileLevel, index: number, width: number = TILE_WIDTH): string {
  const groups = [index % 1000];
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) groups.unshift(rest % 1000);
  const path = groups.map((group, i) => `${i < groups.length - 1 ? 'x' : ''}${String(group).padStart(3, '0')}`).join('/');
  return `tile/${level}/${path}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** The one spelling that `tilePath` writes; undefined for any other. */
export function parseTilePath(path: string): TileName | undefined {
  const [, levelText, indexText = '', widthText] = TILE_PATH.exec(path) ?? [];
  const level = levelText === 'entries' ? levelText : Number(levelText);
  const index = Number(indexText.replaceAll(/[x/]/g, ''));
  const width = widthText === undefined ? TILE_WIDTH : Number(widthText);
  if (level !== 'entries' && !(level <= LEVEL_MAX)) return undefined;
  if (!Number.isSafeInteger(index) || width < 1 || (widthText !== undefined && width >= TILE_WIDTH)) return undefined;
  return tilePath(level, index, width) === path ? { level, index, width } : undefined;
}

/** How wide a tile is in a tree of this size: 256, less at the right edge, 0 where it is not there. */
export function tileWidth(size: number, level: TileLevel, index: number): number {
  const hashes = level === 'entries' ? size : Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

/** Entries, each behind its length as two bytes, big-endian. */
export function encodeBundle(entries: readonly Uint8Array[]): Buffer {
  const bundle = Buffer.allocUnsafe(entries.reduce((total, { length }) => total + LENGTH_BYTES + length, 0));
  let at = 0;
  for (const entry of entries) {
    if (entry.length > ENTRY_BYTES_MAX) throw new RangeError(`an entry has at most ${ENTRY_BYTES_MAX} bytes`);
    at = bundle.writeUInt16BE(entry.length, at);
    bundle.set(entry, at);
    at += entry.length;
  }
  return bundle;
}

/** The entries of a bundle, as views of it; undefined when it does not come out even. */
export function splitBundle(bundle: Buffer): Buffer[] | undefined {
  const entries: Buffer[] = [];
  let at = 0;
  while (at + LENGTH_BYTES <= bundle.length) {
    const start = at + LENGTH_BYTES;
    at = start + bundle.readUInt16BE(at);
    if (at > bundle.length) return undefined;
    entries.push(bundle.subarray(start, at));
  }
  return at === bundle.length ? entries : undefined;
}
