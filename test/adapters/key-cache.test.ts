import type { StoredKey } from '../../src/adapters/store-file/reader.ts';
import { array, assert, constantFrom, integer, property, record } from 'fast-check';
import { expect, test } from 'vitest';
import { createKeyCache } from '../../src/adapters/store-file/key-cache.ts';

const stored = (name: number, version = 1): StoredKey => ({ key: { base: String(name), labels: { version: String(version) } }, ids: [] }) as unknown as StoredKey;

test('gives what was put last under a name, or nothing, and never holds more than it may', () => {
  assert(property(integer({ min: 1, max: 8 }), array(record({ does: constantFrom('get', 'put', 'drop', 'clear'), name: integer({ min: 0, max: 12 }) }), { maxLength: 200 }), (most, steps) => {
    const cache = createKeyCache(most);
    const latest = new Map<number, StoredKey>();
    for (const [i, { does, name }] of steps.entries()) {
      if (does === 'get') expect([undefined, latest.get(name)]).toContain(cache.get(String(name)));
      if (does === 'put') {
        latest.set(name, stored(name, i));
        cache.put(latest.get(name) ?? stored(name));
        expect(cache.get(String(name))).toBe(latest.get(name));
      }
      if (does === 'drop') {
        cache.drop(String(name));
        latest.delete(name);
      }
      if (does === 'clear') {
        cache.clear();
        latest.clear();
      }
    }
    expect(Array.from({ length: 13 }, (_, name) => cache.get(String(name))).filter((one) => one !== undefined).length).toBeLessThanOrEqual(most);
  }));
});

test('keeps what is used, and lets go of what is not', () => {
  const cache = createKeyCache(10);
  for (let name = 0; name < 1000; name++) {
    cache.put(stored(name));
    if (name > 0) expect(cache.get('0')).toBeDefined();
  }
});
