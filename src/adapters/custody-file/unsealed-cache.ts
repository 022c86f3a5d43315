import type { PrivateParts } from '../crypto/private-parts.ts';

/** Private parts in use, a bounded number of them: the one used longest ago goes first, and is overwritten. */
export interface UnsealedCache {
  /** The parts of this version, and of no other that has had its kid. */
  get(kid: string, generation: number): PrivateParts | undefined;
  put(kid: string, generation: number, parts: PrivateParts): void;
  drop(kid: string): void;
  size(): number;
}

export function createUnsealedCache(keysMax: number): UnsealedCache {
  const cached = new Map<string, { readonly generation: number; readonly parts: PrivateParts }>();

  const drop = (kid: string): void => {
    const entry = cached.get(kid);
    cached.delete(kid);
    entry?.parts.destroy();
  };

  return {
    get(kid, generation) {
      const entry = cached.get(kid);
      if (entry?.generation !== generation) return undefined;
      // Set anew it stands last, as the one used just now.
      cached.delete(kid);
      cached.set(kid, entry);
      return entry.parts;
    },
    put(kid, generation, parts) {
      drop(kid);
      cached.set(kid, { generation, parts });
      if (cached.size <= keysMax) return;
      const [oldest] = cached.keys();
      if (oldest !== undefined) drop(oldest);
    },
    drop,
    size: () => cached.size,
  };
}
