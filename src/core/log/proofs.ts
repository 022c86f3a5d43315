import { EMPTY_ROOT, HASH_BYTES, nodeHash } from '../../../client/src/log/hash.ts';
import { foldRoots, subtreeRoots } from './subtrees.ts';
import { TILE_WIDTH, tileWidth } from './tiles.ts';

/** The hashes of a tile, `width` of them; throws when they cannot be had. */
export type ReadTile = (level: number, index: number, width: number) => Promise<Buffer>;

/** The hash over the entries from `start` to before `end`, as RFC 6962 §2.1 makes it in a tree of a given size. */
type RangeHash = (start: number, end: number) => Promise<Buffer>;

/** The root of the tree of this size. */
export async function rootOf(size: number, read: ReadTile): Promise<Buffer> {
  return size === 0 ? EMPTY_ROOT : await hashesOf(size, read)(0, size);
}

/** RFC 6962 §2.1.1, PATH: from the neighbour of the leaf up to the child of the root. */
export async function inclusionProof(index: number, size: number, read: ReadTile): Promise<Buffer[]> {
  if (!(index >= 0 && index < size)) throw new RangeError(`entry ${index} is not in a tree of ${size}`);
  const hashOf = hashesOf(size, read);
  const path: Promise<Buffer>[] = [];
  for (let [start, end] = [0, size]; end - start > 1;) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      path.unshift(hashOf(middle, end));
      end = middle;
    } else {
      path.unshift(hashOf(start, middle));
      start = middle;
    }
  }
  return await Promise.all(path);
}

/** RFC 6962 §2.1.2, PROOF: that the tree of the new size begins with the one of the old. */
export async function consistencyProof(oldSize: number, newSize: number, read: ReadTile): Promise<Buffer[]> {
  if (!(oldSize >= 0 && oldSize <= newSize)) throw new RangeError(`a tree of ${newSize} does not begin with one of ${oldSize}`);
  if (oldSize === 0) return [];
  const hashOf = hashesOf(newSize, read);
  const proof: Promise<Buffer>[] = [];
  let [start, end] = [0, newSize];
  while (end > oldSize) {
    const middle = start + splitOf(end - start);
    if (oldSize <= middle) {
      proof.unshift(hashOf(middle, end));
      end = middle;
    } else {
      proof.unshift(hashOf(start, middle));
      start = middle;
    }
  }
  // The old tree itself is known to who asks; any other subtree it ends with is not.
  if (start > 0) proof.unshift(hashOf(start, end));
  return await Promise.all(proof);
}

/** Reads each tile once for all the hashes that are made of it. */
function hashesOf(size: number, read: ReadTile): RangeHash {
  const tiles = new Map<string, Promise<Buffer>>();
  const tileOf = (level: number, index: number): Promise<Buffer> => {
    const name = `${level}/${index}`;
    const known = tiles.get(name);
    if (known !== undefined) return known;
    const asked = readWhole(read, level, index, tileWidth(size, level, index));
    tiles.set(name, asked);
    return asked;
  };
  const hashOf: RangeHash = async (start, end) => {
    const count = end - start;
    const split = splitOf(count);
    if (split * 2 !== count && count !== 1) {
      const [left, right] = await Promise.all([hashOf(start, start + split), hashOf(start + split, end)]);
      return nodeHash(left, right);
    }
    const level = levelOf(count);
    const [first, hashes] = [start, count].map((entries) => entries / TILE_WIDTH ** level) as [number, number];
    const tile = await tileOf(level, Math.floor(first / TILE_WIDTH));
    const at = first % TILE_WIDTH;
    return foldRoots(subtreeRoots(tile.subarray(at * HASH_BYTES, (at + hashes) * HASH_BYTES)));
  };
  return hashOf;
}

async function readWhole(read: ReadTile, level: number, index: number, width: number): Promise<Buffer> {
  const bytes = await read(level, index, width);
  if (bytes.length !== width * HASH_BYTES) throw new RangeError(`a tile of ${width} hashes has ${bytes.length} bytes`);
  return bytes;
}

/** The highest level that has whole hashes over so many entries. */
function levelOf(count: number): number {
  let level = 0;
  while (TILE_WIDTH ** (level + 1) <= count) level += 1;
  return level;
}

/** Where RFC 6962 parts a tree: the largest power of two below its size. */
function splitOf(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}
