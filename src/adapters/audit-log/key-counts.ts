import { createKeyIndex } from '../../core/key/key-index.ts';

/** How many entries the log has of each key. */
export interface KeyCounts {
  /** 0 of a key that it does not know. */
  get(base: string): number;
  set(base: string, count: number): void;
  entries(): Iterable<readonly [base: string, count: number]>;
}

const KEYS_AT_FIRST = 1024;

export function createKeyCounts(): KeyCounts {
  const keys = createKeyIndex();
  let counts = new Float64Array(KEYS_AT_FIRST);

  return {
    get(base) {
      const key = keys.find(base);
      return key === undefined ? 0 : (counts[key] ?? 0);
    },
    set(base, count) {
      const key = keys.findOrAdd(base);
      if (key >= counts.length) counts = new Float64Array(counts.buffer.transfer(2 * counts.byteLength));
      counts[key] = count;
    },
    *entries() {
      for (let key = 0; key < keys.size(); key++) yield [keys.nameOf(key), counts[key] ?? 0];
    },
  };
}
