import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeBundle, parseTilePath, splitBundle, TILE_WIDTH, tilePath, tileWidth } from '../../src/core/log/tiles.ts';

describe('tile paths', () => {
  test.each([
    ['tile/0/000', 0, 0, 256],
    ['tile/0/x001/067.p/12', 0, 1067, 12],
    ['tile/1/x001/x234/067', 1, 1234067, 256],
    ['tile/63/000.p/255', 63, 0, 255],
    ['tile/entries/x009/007', 'entries', 9007, 256],
    ['tile/entries/999.p/1', 'entries', 999, 1],
    ['tile/0/x009/x007/x199/x254/x740/991', 0, Number.MAX_SAFE_INTEGER, 256],
  ] as const)('%s is written and read', (path, level, index, width) => {
    expect(tilePath(level, index, width)).toBe(path);
    expect(parseTilePath(path)).toEqual({ level, index, width });
  });

  test('of every tile are read as they were written', () => {
    const level = fc.oneof(fc.constant('entries' as const), fc.nat(63));
    fc.assert(fc.property(level, fc.maxSafeNat(), fc.integer({ min: 1, max: TILE_WIDTH }), (level, index, width) => {
      expect(parseTilePath(tilePath(level, index, width))).toEqual({ level, index, width });
    }));
  });

  test.each([
    '', 'tile', 'tile/0', 'tile/0/', 'tile/0/0', 'tile/0/00', 'tile/0/0000', 'tile/00/000', 'tile/01/000', 'tile/64/000', 'tile/-1/000', 'tile/x/000',
    'tile/0/1/067', 'tile/0/x1/067', 'tile/0/001/067', 'tile/0/x000/067', 'tile/0/x001', 'tile/0/x001/x067', 'tile/0/x001/067/', 'tile/0/X001/067',
    'tile/0/000.p', 'tile/0/000.p/', 'tile/0/000.p/0', 'tile/0/000.p/00', 'tile/0/000.p/01', 'tile/0/000.p/256', 'tile/0/000.p/999', 'tile/0/000.p/1.p/1', 'tile/0/000/p/1',
    'tile/0/x999/x999/x999/x999/x999/999', 'tile/0/x001/x001/x001/x001/x001/x001/001',
    '/tile/0/000', 'tile/0/000\n', 'tile/0/../000', 'tile/entries', 'tile/Entries/000', 'tile/data/000', 'tile/0/٠٠٠',
  ])('%j is none', (path) => {
    expect(parseTilePath(path)).toBeUndefined();
  });

  test('a tree of 70,000 has the tiles that tlog-tiles says', () => {
    expect([0, 272, 273, 274].map((index) => tileWidth(70_000, 0, index))).toEqual([256, 256, 112, 0]);
    expect([272, 273, 274].map((index) => tileWidth(70_000, 'entries', index))).toEqual([256, 112, 0]);
    expect([0, 1, 2].map((index) => tileWidth(70_000, 1, index))).toEqual([256, 17, 0]);
    expect([0, 1].map((index) => tileWidth(70_000, 2, index))).toEqual([1, 0]);
    expect(tileWidth(256, 1, 0)).toBe(1);
  });
});

describe('entry bundles', () => {
  const entry = fc.uint8Array({ maxLength: 600 });

  test('are split into what they were made of', () => {
    fc.assert(fc.property(fc.array(entry, { maxLength: TILE_WIDTH }), (entries) => {
      expect(splitBundle(encodeBundle(entries))).toEqual(entries.map((one) => Buffer.from(one)));
    }));
    expect(encodeBundle([Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c')]).toString('hex')).toBe('000261620000000163');
  });

  test('hold entries of up to 65,535 bytes', () => {
    const longest = Buffer.alloc(65_535, 7);
    expect(splitBundle(encodeBundle([longest, Buffer.of(1)]))).toEqual([longest, Buffer.of(1)]);
    expect(() => encodeBundle([Buffer.alloc(65_536)])).toThrow(new RangeError('an entry has at most 65535 bytes'));
  });

  test('cut anywhere but behind an entry are none', () => {
    fc.assert(fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), fc.nat(), (entries, cut) => {
      const bundle = encodeBundle(entries);
      const at = cut % bundle.length;
      const ends = entries.map((_, i) => encodeBundle(entries.slice(0, i)).length);
      expect(splitBundle(bundle.subarray(0, at)) === undefined).toBe(!ends.includes(at));
    }));
  });
});
