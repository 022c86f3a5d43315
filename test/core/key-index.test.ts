import { describe, expect, test } from 'vitest';
import type { KeyIndex } from '../../src/core/key/key-index.ts';
import { createKeyIndex, namesIn } from '../../src/core/key/key-index.ts';

const uuidOf = (number: number): string => `01932c07-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
const NAMES = [
  ...Array.from({ length: 3000 }, (_, i) => `core/bench/ed25519/${uuidOf(i)}`),
  // The same UUIDs under another prefix, and names that end with none.
  ...Array.from({ length: 3000 }, (_, i) => `other/bench/ed25519/${uuidOf(i)}`),
  ...Array.from({ length: 3000 }, (_, i) => `core/bench/ed25519/${i}`),
  '', '/', uuidOf(1), uuidOf(0xabc).toUpperCase(), `${uuidOf(1)}/`, `core/bench/ed25519/${'0'.repeat(36)}`, 'core/bench/ed25519/00000000-0000-0000-0000-000000000000',
];

function filled(): KeyIndex {
  const index = createKeyIndex();
  for (const name of NAMES) index.add(name);
  return index;
}

describe('the index of key names', () => {
  test('numbers them as they come, and finds each again, and no other', () => {
    const index = createKeyIndex();
    const numbers = NAMES.map((name) => {
      expect(index.find(name), name).toBeUndefined();
      return index.add(name);
    });
    expect(numbers).toEqual(NAMES.map((_, i) => i));
    expect(index.size()).toBe(NAMES.length);
    expect(NAMES.map(index.find)).toEqual(numbers);
    for (const name of ['core/bench/ed25519/', `core/bench/ed25519/${uuidOf(3000)}`, 'x', '\0']) expect(index.find(name)).toBeUndefined();
  });

  test('gives every name back as it was, on another thread too', () => {
    const index = filled();
    const numbers = NAMES.map((_, i) => i);
    expect(numbers.map(index.nameOf)).toEqual(NAMES);
    const packed = structuredClone(index.pack());
    expect([...namesIn(packed)]).toEqual(NAMES);
    const taken = createKeyIndex(packed);
    expect(NAMES.map(taken.find)).toEqual(numbers);
    expect(taken.find('x')).toBeUndefined();
    // It goes on where the other one was.
    expect(taken.add('x')).toBe(NAMES.length);
    expect([...NAMES, 'x'].map(taken.find)).toEqual([...numbers, NAMES.length]);
    expect([...namesIn(createKeyIndex().pack())]).toEqual([]);
  });

  test('gives a name its number, the next one when it was not there', () => {
    const fresh = createKeyIndex();
    const names = [uuidOf(1), uuidOf(2), 'x', `core/${uuidOf(1)}`];
    expect([...names, ...names.toReversed(), 'y'].map(fresh.findOrAdd)).toEqual([0, 1, 2, 3, 3, 2, 1, 0, 4]);
    expect([fresh.size(), fresh.find('y'), fresh.nameOf(3)]).toEqual([5, 4, `core/${uuidOf(1)}`]);
  });

  test('keeps names apart that begin alike and end with what is almost a UUID', () => {
    const almost = [0, 8, 13, 18, 23, 35].flatMap((at) => ['g', 'A', '-', '/', '\u00e9', '\u0100', ' '].map((sign) => `core/${uuidOf(7).slice(0, at)}${sign}${uuidOf(7).slice(at + 1)}`));
    const names = [...new Set([`core/${uuidOf(7)}`, ...almost])];
    const fresh = createKeyIndex();
    expect(names.map(fresh.findOrAdd)).toEqual(names.map((_, i) => i));
    expect(names.map((_, i) => fresh.nameOf(i))).toEqual(names);
  });

  test('keeps what names have in common once, and of a UUID its 16 bytes', () => {
    const fresh = createKeyIndex();
    const uuids = [...Array.from({ length: 100 }, (_, i) => uuidOf(i)), '01932c07-ffff-7fff-bfff-ffffffffffff', 'abcdef01-2345-7678-9abc-def012345678'];
    for (const uuid of uuids) fresh.add(`core/bench/ed25519/${uuid}`);
    fresh.add(uuidOf(5));
    const packed = fresh.pack();
    expect(packed.prefixes).toEqual(['core/bench/ed25519/', '']);
    expect(Buffer.from(packed.uuids).toString('hex')).toBe([...uuids, uuidOf(5)].join('').replaceAll('-', ''));
  });
});
