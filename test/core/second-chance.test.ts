import { array, assert, constantFrom, integer, property, record } from 'fast-check';
import { expect, test } from 'vitest';
import { createSecondChance } from '../../src/core/second-chance.ts';

test('gives what was put last under a name, or nothing, and never holds more than it may', () => {
  assert(property(integer({ min: 1, max: 8 }), array(record({ does: constantFrom('get', 'put', 'drop', 'evict', 'clear'), name: integer({ min: 0, max: 12 }) }), { maxLength: 200 }), (most, steps) => {
    const cache = createSecondChance<number, number>(most);
    const latest = new Map<number, number>();
    for (const [i, { does, name }] of steps.entries()) {
      if (does === 'get') expect([undefined, latest.get(name)]).toContain(cache.get(name));
      if (does === 'put') {
        latest.set(name, i);
        cache.put(name, i);
        expect(cache.get(name)).toBe(i);
      }
      if (does === 'drop') {
        cache.drop(name);
        latest.delete(name);
      }
      if (does === 'evict') {
        const [before, gone] = [cache.size(), cache.evict()];
        expect(gone === undefined ? before : [...latest.values()].includes(gone)).toBe(gone === undefined ? 0 : true);
      }
      if (does === 'clear') {
        cache.clear();
        latest.clear();
      }
      expect(cache.size()).toBeLessThanOrEqual(most);
    }
  }));
});

test('keeps what is used, and lets go of what is not', () => {
  const cache = createSecondChance<number, number>(10);
  for (let name = 0; name < 1000; name++) {
    cache.put(name, name);
    if (name > 0) expect(cache.get(0)).toBe(0);
  }
});

test('what was used goes once nothing else is left', () => {
  const cache = createSecondChance<string, number>();
  cache.put('a', 1);
  cache.put('b', 2);
  cache.get('a');
  expect([cache.evict(), cache.evict(), cache.evict()]).toEqual([2, 1, undefined]);
});

test('gives back what it drops, once, and nothing when it is cleared', () => {
  const cache = createSecondChance<string, number>();
  cache.put('a', 1);
  cache.put('b', 2);
  expect([cache.drop('a'), cache.drop('a'), cache.get('a'), cache.size()]).toEqual([1, undefined, undefined, 1]);
  cache.clear();
  expect([cache.get('b'), cache.size(), cache.evict()]).toEqual([undefined, 0, undefined]);
});

test('to put something again under its name is a use of it', () => {
  const cache = createSecondChance<string, number>();
  cache.put('a', 1);
  cache.put('b', 2);
  cache.put('a', 3);
  expect([cache.size(), cache.evict(), cache.evict()]).toEqual([2, 2, 3]);
});
