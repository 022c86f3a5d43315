import type { ReadTile } from '../../src/core/log/proofs.ts';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { EMPTY_ROOT, leafHash } from '../../client/src/log/hash.ts';
import { verifyConsistency, verifyInclusion } from '../../client/src/log/merkle.ts';
import { consistencyProof, inclusionProof, rootOf } from '../../src/core/log/proofs.ts';
import { createTreeEdge } from '../../src/core/log/tree-edge.ts';
import { monotonousTree, slowTree } from '../harness/slow-log.ts';
import { createTileStore } from '../harness/tile-store.ts';

const SIZE = 66_000;
const entryAt = (index: number): Buffer => Buffer.from(`entry ${index}`);
const slow = slowTree(entryAt);
const store = createTileStore();
const { read } = store;

beforeAll(() => {
  const edge = createTreeEdge();
  for (let i = 0; i < SIZE; i++) edge.append(leafHash(entryAt(i)));
  store.write(edge);
});

const size = fc.oneof(fc.integer({ min: 1, max: 1200 }), fc.integer({ min: 65_300, max: SIZE }), fc.constantFrom(1, 2, 255, 256, 257, 512, 65_535, 65_536, 65_537));
const hexOf = (hashes: readonly Buffer[]): readonly string[] => hashes.map((hash) => hash.toString('hex'));
const rootAt = (size: number): Buffer => Buffer.from(slow.hash(0, size), 'hex');

/** The list with one thing wrong in it: a bit, a hash too many, one too few. */
function spoiled(proof: readonly Buffer[], how: number): readonly Buffer[] {
  if (how % 3 === 0) return [...proof, Buffer.alloc(32)];
  if (how % 3 === 1 && proof.length > 0) return proof.toSpliced(how % proof.length, 1);
  if (proof.length === 0) return [Buffer.alloc(32)];
  const at = how % proof.length;
  const bad = Buffer.from(proof[at] as Buffer);
  bad.writeUInt8(bad.readUInt8(how % 32) ^ (1 << (how % 8)), how % 32);
  return proof.with(at, bad);
}

describe('an inclusion proof from tiles', () => {
  test('is the one of RFC 6962, holds, and holds for no other entry, index, size, root or hash', async () => {
    await fc.assert(fc.asyncProperty(size, fc.nat(), fc.nat(), async (size, pick, how) => {
      const index = pick % size;
      const proof = await inclusionProof(index, size, read);
      expect(hexOf(proof)).toEqual(slow.path(index, size));
      const claim = { leafHash: leafHash(entryAt(index)), index, size, proof, rootHash: rootAt(size) };
      expect(verifyInclusion(claim)).toBe(true);
      expect(verifyInclusion({ ...claim, leafHash: leafHash(entryAt(index + 1)) })).toBe(false);
      expect(verifyInclusion({ ...claim, rootHash: rootAt(size + 1) })).toBe(false);
      expect(verifyInclusion({ ...claim, proof: spoiled(proof, how) })).toBe(false);
      for (const wrong of [(index + 1) % size, index ^ 1, -1, size, index + 0.5, Number.NaN]) {
        if (wrong !== index) expect(verifyInclusion({ ...claim, index: wrong })).toBe(false);
      }
    }), { numRuns: 150 });
  });

  test('is refused for an entry that is not there', async () => {
    for (const [index, size] of [[0, 0], [5, 5], [-1, 5], [Number.NaN, 5]] as const) await expect(inclusionProof(index, size, read)).rejects.toThrow(new RangeError(`entry ${index} is not in a tree of ${size}`));
  });
});

describe('a consistency proof from tiles', () => {
  test('is the one of RFC 6962, holds, and holds for no other sizes, roots or hashes', async () => {
    await fc.assert(fc.asyncProperty(size, size, fc.nat(), async (a, b, how) => {
      const [oldSize, newSize] = [Math.min(a, b), Math.max(a, b)];
      const proof = await consistencyProof(oldSize, newSize, read);
      expect(hexOf(proof)).toEqual(slow.proof(oldSize, newSize));
      const claim = { oldSize, oldRoot: rootAt(oldSize), newSize, newRoot: rootAt(newSize), proof };
      expect(verifyConsistency(claim)).toBe(true);
      expect(verifyConsistency({ ...claim, proof: spoiled(proof, how) })).toBe(false);
      expect(verifyConsistency({ ...claim, newRoot: rootAt(newSize + 1) })).toBe(false);
      expect(verifyConsistency({ ...claim, oldRoot: rootAt(oldSize + 1) })).toBe(oldSize + 1 === newSize && oldSize === newSize);
      if (oldSize !== newSize) expect(verifyConsistency({ ...claim, oldSize: newSize, newSize: oldSize })).toBe(false);
    }), { numRuns: 150 });
  });

  test('is refused from a tree that the other one does not begin with', async () => {
    for (const [oldSize, newSize] of [[6, 5], [-1, 5], [Number.NaN, 5]] as const) await expect(consistencyProof(oldSize, newSize, read)).rejects.toThrow(new RangeError(`a tree of ${newSize} does not begin with one of ${oldSize}`));
  });

  test('from nothing is empty, and holds only from the empty root', async () => {
    expect(await consistencyProof(0, 7, read)).toEqual([]);
    const claim = { oldSize: 0, oldRoot: EMPTY_ROOT, newSize: 7, newRoot: rootAt(7), proof: [] };
    expect(verifyConsistency(claim)).toBe(true);
    expect(verifyConsistency({ ...claim, oldRoot: rootAt(1) })).toBe(false);
    expect(verifyConsistency({ ...claim, proof: [EMPTY_ROOT] })).toBe(false);
    expect(verifyConsistency({ ...claim, newSize: 0 })).toBe(false);
    expect(verifyConsistency({ ...claim, newSize: 0, newRoot: EMPTY_ROOT })).toBe(true);
    await expect(consistencyProof(8, 7, read)).rejects.toThrow(RangeError);
  });
});

describe('the root from tiles', () => {
  test('is that of the tree, of every size up to the tiles\' own', async () => {
    await fc.assert(fc.asyncProperty(size, async (size) => {
      expect((await rootOf(size, read)).toString('hex')).toBe(slow.hash(0, size));
    }), { numRuns: 60 });
    expect(await rootOf(0, read)).toEqual(EMPTY_ROOT);
  });

  test('and a proof fail where a tile is missing or cut short', async () => {
    await expect(rootOf(700, async (level, index, width) => (await read(level, index, width)).subarray(1))).rejects.toThrow(RangeError);
    await expect(inclusionProof(3, 700, createTileStore().read)).rejects.toThrow('there is no tile/');
  });

  test('and the proofs read no tile twice, and few of them', async () => {
    const seen: string[] = [];
    const counting: ReadTile = (level, index, width) => {
      seen.push(`${level}/${index}`);
      return read(level, index, width);
    };
    await inclusionProof(70, SIZE, counting);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.length).toBeLessThanOrEqual(5);
  });
});

describe('trees beyond 32 bits', () => {
  const entry = Buffer.from('the same again');
  const same = monotonousTree(entry);
  const repeated: ReadTile = async (level, _index, width) => Buffer.alloc(width * 32, Buffer.from(same.hash(0, 256 ** level), 'hex'));

  test('are proved and checked alike', async () => {
    const big = fc.integer({ min: 2 ** 31, max: 2 ** 52 });
    await fc.assert(fc.asyncProperty(big, big, async (a, b) => {
      const [index, size] = [Math.min(a, b), Math.max(a, b) + 1];
      const rootHash = Buffer.from(same.hash(0, size), 'hex');
      const proof = await inclusionProof(index, size, repeated);
      expect(hexOf(proof)).toEqual(same.path(index, size));
      expect(verifyInclusion({ leafHash: leafHash(entry), index, size, proof, rootHash })).toBe(true);
      const grown = await consistencyProof(index, size, repeated);
      expect(hexOf(grown)).toEqual(same.proof(index, size));
      expect(verifyConsistency({ oldSize: index, oldRoot: Buffer.from(same.hash(0, index), 'hex'), newSize: size, newRoot: rootHash, proof: grown })).toBe(true);
    }), { numRuns: 60 });
  });
});
