/** A bounded cache: first in, first out, but what was used since it came in stays once more. */
export interface SecondChance<K, V> {
  /** A use. */
  get(key: K): V | undefined;
  put(key: K, value: V): void;
  drop(key: K): V | undefined;
  /** Takes out the oldest that was not used; undefined when there is none at all. */
  evict(): V | undefined;
  clear(): void;
  size(): number;
}

interface Entry<V> {
  value: V;
  isUsed: boolean;
}

/**
 * A use marks, and who is marked goes to the end once, when its turn to go has come. Moving it there with each use made V8 lay out the
 * whole `Map` anew every few thousand uses.
 */
export function createSecondChance<K, V>(entriesMax = Infinity): SecondChance<K, V> {
  const entries = new Map<K, Entry<V>>();
  /** All before it are gone: looking for the first from the beginning would pass their empty places each time. */
  let hand = entries.entries();

  const drop = (key: K): V | undefined => {
    const entry = entries.get(key);
    entries.delete(key);
    return entry?.value;
  };

  const evict = (): V | undefined => {
    while (entries.size > 0) {
      const { value: next, done } = hand.next();
      if (done === true) {
        hand = entries.entries();
        continue;
      }
      const [key, entry] = next;
      entries.delete(key);
      if (!entry.isUsed) return entry.value;
      entry.isUsed = false;
      entries.set(key, entry);
    }
    return undefined;
  };

  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entry.isUsed = true;
      return entry.value;
    },
    put(key, value) {
      const entry = entries.get(key);
      if (entry !== undefined) {
        entry.value = value;
        entry.isUsed = true;
        return;
      }
      if (entries.size >= entriesMax) evict();
      entries.set(key, { value, isUsed: false });
    },
    drop,
    evict,
    clear: () => entries.clear(),
    size: () => entries.size,
  };
}
