import type { StoredKey } from './reader.ts';

/** Keys read lately, a bounded number of them: the one used longest ago goes first. */
export interface KeyCache {
  get(base: string): StoredKey | undefined;
  put(stored: StoredKey): void;
  drop(base: string): void;
  clear(): void;
}

export function createKeyCache(keysMax: number): KeyCache {
  const cached = new Map<string, StoredKey>();
  return {
    get(base) {
      const stored = cached.get(base);
      if (stored === undefined) return undefined;
      // Set anew it stands last, as the one used just now.
      cached.delete(base);
      cached.set(base, stored);
      return stored;
    },
    put(stored) {
      cached.delete(stored.key.base);
      cached.set(stored.key.base, stored);
      if (cached.size <= keysMax) return;
      const [oldest] = cached.keys();
      if (oldest !== undefined) cached.delete(oldest);
    },
    drop: (base) => { cached.delete(base); },
    clear: () => cached.clear(),
  };
}
