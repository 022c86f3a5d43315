import type { PrivateParts } from '../crypto/private-parts.ts';
import { createSecondChance } from '../../core/second-chance.ts';

/** Private parts in use, a bounded number and a bounded size of them: one not used lately goes first, and is overwritten. */
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

interface Unsealed {
  readonly generation: number;
  readonly parts: PrivateParts;
  readonly bytes: number;
  readonly felt: ArrayBuffer | undefined;
}

export function createUnsealedCache({ keysMax, bytesMax }: UnsealedBounds): UnsealedCache {
  const cached = createSecondChance<string, Unsealed>();
  let bytes = 0;

  const isOver = (): boolean => cached.size() > keysMax || bytes > bytesMax;

  const overwrite = (unsealed: Unsealed | undefined): void => {
    if (unsealed === undefined) return;
    bytes -= unsealed.bytes;
    unsealed.parts.destroy();
  };

  return {
    get(kid, generation) {
      const unsealed = cached.get(kid);
      return unsealed?.generation === generation ? unsealed.parts : undefined;
    },
    put(kid, generation, parts) {
      overwrite(cached.drop(kid));
      const size = bytesOf(parts);
      cached.put(kid, { generation, parts, bytes: size, felt: feltAs(size) });
      bytes += size;
      // The newest is about to be used, and stays whatever its size.
      cached.get(kid);
      while (cached.size() > 1 && isOver()) overwrite(cached.evict());
    },
    drop: (kid) => overwrite(cached.drop(kid)),
    size: cached.size,
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
