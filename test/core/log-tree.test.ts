import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY_ROOT, leafHash, nodeHash } from '../../client/src/log/hash.ts';
import { createTreeEdge, restoreTreeEdge } from '../../src/core/log/tree-edge.ts';
import { tilePath } from '../../src/core/log/tiles.ts';
import { slowTree } from '../harness/slow-log.ts';
import { createTileStore } from '../harness/tile-store.ts';

const entryAt = (index: number): Buffer => Buffer.from(`entry ${index}`);
const slow = slowTree(entryAt);

function grow(edge: ReturnType<typeof createTreeEdge>, size: number): typeof edge {
  for (let i = edge.size(); i < size; i++) edge.append(leafHash(entryAt(i)));
  return edge;
}

describe('hashes', () => {
  /** The leaves and roots that the implementations of RFC 6962 (Certificate Transparency) publish. */
  const leaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
  const roots = [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];

  test('are those of Certificate Transparency', () => {
    const edge = createTreeEdge();
    expect(edge.rootHash().toString('hex')).toBe(roots[0]);
    for (const [i, leaf] of leaves.entries()) {
      edge.append(leafHash(Buffer.from(leaf, 'hex')));
      expect(edge.rootHash().toString('hex')).toBe(roots[i + 1]);
    }
    expect(EMPTY_ROOT.toString('hex')).toBe(roots[0]);
  });

  test('are of their own, whatever is hashed after them', () => {
    const first = leafHash(entryAt(1));
    const copy = Buffer.from(first);
    nodeHash(leafHash(Buffer.alloc(65_535)), first);
    expect(first).toEqual(copy);
    expect(() => leafHash(Buffer.alloc(65_536))).toThrow(RangeError);
    expect(() => nodeHash(first, Buffer.alloc(31))).toThrow(RangeError);
  });
});

describe('a tree that grows', () => {
  test('has at every size the root of RFC 6962', () => {
    const edge = createTreeEdge();
    for (let size = 0; size <= 800; size++) {
      grow(edge, size);
      expect(edge.size()).toBe(size);
      expect(edge.rootHash().toString('hex')).toBe(slow.hash(0, size));
    }
  });

  test('has it where the third level of tiles begins, and each of its tiles is of the hashes that tlog-tiles says', () => {
    const edge = createTreeEdge();
    const store = createTileStore();
    for (const size of [65_535, 65_536, 65_537, 66_100]) {
      expect(grow(edge, size).rootHash().toString('hex')).toBe(slow.hash(0, size));
      store.write(edge);
    }
    const tiles = [...store.tiles];
    expect(tiles.map(([path]) => path)).toEqual(expect.arrayContaining(['tile/0/000', 'tile/0/257', 'tile/1/000', 'tile/0/258.p/52', 'tile/1/001.p/2', 'tile/2/000.p/1']));
    for (const [path, bytes] of tiles) {
      const [, level = '', index = ''] = path.split('/');
      const span = 256 ** Number(level);
      for (let i = 0; i < bytes.length / 32; i++) {
        const start = (Number.parseInt(index, 10) * 256 + i) * span;
        expect(bytes.toString('hex', i * 32, i * 32 + 32)).toBe(slow.hash(start, start + span));
      }
    }
  });

  test('gives each full tile once, and its partial ones as often as asked', () => {
    const edge = grow(createTreeEdge(), 513);
    expect(edge.takeFullTiles().map(({ level, index }) => tilePath(level, index))).toEqual(['tile/0/000', 'tile/0/001']);
    expect(edge.takeFullTiles()).toEqual([]);
    for (let i = 0; i < 2; i++) expect(edge.partialTiles().map(({ level, index, width }) => tilePath(level, index, width))).toEqual(['tile/0/002.p/1', 'tile/1/000.p/2']);
    expect(createTreeEdge().partialTiles()).toEqual([]);
  });

  test('goes on from its partial tiles as if it had never stopped', () => {
    const sizes = fc.oneof(fc.nat(900), fc.constantFrom(0, 1, 255, 256, 257, 511, 512));
    fc.assert(fc.property(sizes, fc.nat(300), (size, more) => {
      const edge = grow(createTreeEdge(), size);
      const store = createTileStore();
      store.write(edge);
      const restored = restoreTreeEdge(size, (level, index, width) => store.tiles.get(tilePath(level, index, width)) as Buffer);
      expect(restored.rootHash()).toEqual(edge.rootHash());
      expect(restored.partialTiles()).toEqual(edge.partialTiles());
      expect(grow(restored, size + more).rootHash()).toEqual(grow(edge, size + more).rootHash());
      expect(restored.takeFullTiles()).toEqual(edge.takeFullTiles());
    }), { numRuns: 40 });
  });

  test('does not go on from a tile that is too short', () => {
    expect(() => restoreTreeEdge(300, (_level, _index, width) => Buffer.alloc(width * 32 - 1))).toThrow(new RangeError('a tile of 44 hashes has 1407 bytes'));
  });

  test('gives a copy the full tiles that were not taken, and no tile that is empty', () => {
    const edge = grow(createTreeEdge(), 256);
    const copy = edge.snapshot();
    expect([edge, copy].map((each) => each.takeFullTiles().map(({ level, index, width }) => [level, index, width]))).toEqual([[[0, 0, 256]], [[0, 0, 256]]]);
    expect([edge, copy].map((each) => each.partialTiles().map(({ level, index, width }) => [level, index, width]))).toEqual([[[1, 0, 1]], [[1, 0, 1]]]);
  });

  test('leaves a copy as it was, and is not changed by what happens to it', () => {
    const edge = grow(createTreeEdge(), 250);
    const copy = edge.snapshot();
    grow(edge, 600);
    expect(copy.rootHash().toString('hex')).toBe(slow.hash(0, 250));
    copy.append(leafHash(Buffer.from('another')));
    for (let i = 0; i < 10; i++) copy.append(leafHash(entryAt(i)));
    expect(copy.takeFullTiles()).toHaveLength(1);
    expect(edge.rootHash().toString('hex')).toBe(slow.hash(0, 600));
    expect(edge.takeFullTiles().map(({ index }) => index)).toEqual([0, 1]);
  });
});
