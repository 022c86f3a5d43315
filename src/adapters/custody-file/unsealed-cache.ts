import type { PrivateParts } from '../crypto/private-parts.ts';

/** Private parts in use, a bounded number and a bounded size of them: the one used longest ago goes first, and is overwritten. */
export interface UnsealedCache {
  /** The parts of this version, and of no other that has had its kid. */
  get(kid: string, generation: number): PrivateParts | undefined;
  put(kid: string, generation: number, parts: PrivateParts): void;
  drop(kid: string): void;
  size(): number;
}

export interface UnsealedBounds {
  readonly keysMax: number;
  readonly bytesMax: number;
}

interface Entry {
  readonly generation: number;
  readonly parts: PrivateParts;
  readonly bytes: number;
  readonly felt: ArrayBuffer | undefined;
}

export function createUnsealedCache({ keysMax, bytesMax }: UnsealedBounds): UnsealedCache {
  const cached = new Map<string, Entry>();
  let bytes = 0;

  const drop = (kid: string): void => {
    const entry = cached.get(kid);
    if (entry === undefined) return;
    cached.delete(kid);
    bytes -= entry.bytes;
    entry.parts.destroy();
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
      const size = bytesOf(parts);
      const entry = { generation, parts, bytes: size, felt: feltAs(size) };
      cached.set(kid, entry);
      bytes += entry.bytes;
      for (const oldest of cached.keys()) {
        // The newest stays whatever its size: it is about to be used.
        if (oldest === kid || (cached.size <= keysMax && bytes <= bytesMax)) return;
        drop(oldest);
      }
    },
    drop,
    size: () => cached.size,
  };
}

const OBJECTS_BYTES = 1024;
/** OpenSSL keeps a lattice key expanded: of ML-DSA that is sixteen times the public part, of ML-KEM nine times (measured). */
const EXPANDED = 16;

/** About what they take of the memory of the process. */
function bytesOf({ publicParts }: PrivateParts): number {
  return publicParts.reduce((sum, { bytes }) => sum + EXPANDED * bytes.length, OBJECTS_BYTES);
}

const PAGE_BYTES = 4096;

/**
 * V8 does not see what OpenSSL holds for it, and would leave keys that were dropped lying for minutes. Beside each stand
 * pages that nobody touches: they take no memory, and V8 counts them.
 */
function feltAs(bytes: number): ArrayBuffer | undefined {
  return bytes < PAGE_BYTES ? undefined : new ArrayBuffer(bytes, { maxByteLength: bytes });
}
