import type { StoredKey } from './reader.ts';

/** Keys read lately, a bounded number of them: the oldest goes first, unless it was used. */
export interface KeyCache {
  get(base: string): StoredKey | undefined;
  put(stored: StoredKey): void;
  drop(base: string): void;
  clear(): void;
}

interface Entry {
  stored: StoredKey;
  isUsed: boolean;
}

/**
 * First in, first out, with a second chance: a use marks, and who is marked goes to the end once, when its turn to go has come. Moving
 * it there with each use made V8 lay out the whole `Map` anew every few thousand uses.
 */
export function createKeyCache(keysMax: number): KeyCache {
  const cached = new Map<string, Entry>();
  /** All before it are gone: looking for the first from the beginning would pass their empty places each time. */
  let hand = cached.entries();

  const evict = (): void => {
    for (;;) {
      const { value, done } = hand.next();
      if (done === true) {
        hand = cached.entries();
        continue;
      }
      const [base, entry] = value;
      cached.delete(base);
      if (!entry.isUsed) return;
      entry.isUsed = false;
      cached.set(base, entry);
    }
  };

  return {
    get(base) {
      const entry = cached.get(base);
      if (entry === undefined) return undefined;
      entry.isUsed = true;
      return entry.stored;
    },
    put(stored) {
      const entry = cached.get(stored.key.base);
      if (entry !== undefined) {
        entry.stored = stored;
        entry.isUsed = true;
        return;
      }
      if (cached.size >= keysMax) evict();
      cached.set(stored.key.base, { stored, isUsed: false });
    },
    drop: (base) => { cached.delete(base); },
    clear: () => cached.clear(),
  };
}
