/**
 * Entries as bytes outside the heap of JavaScript, in chunks: the garbage collector has nothing to move,
 * and the oldest go a chunk at a time. Nothing is ever renumbered.
 */
export interface KeptEntries {
  push(entry: string): void;
  /** Undefined when it is not there any more, or not yet. */
  at(index: number): string | undefined;
  size(): number;
}

interface Chunk {
  readonly firstIndex: number;
  readonly bytes: Buffer;
  /** Where each entry ends; it begins where the one before ends. */
  readonly ends: number[];
}

/** A whole number of chunks makes up the size; small enough that little is forgotten at once. */
const CHUNKS = 64;
const CHUNK_BYTES_MIN = 4096;
/** UTF-8 takes at most three bytes for a unit of UTF-16. */
const BYTES_PER_UNIT = 3;

export function createKeptEntries(maxBytes: number): KeptEntries {
  const chunkBytes = Math.max(CHUNK_BYTES_MIN, Math.floor(maxBytes / CHUNKS));
  const chunks: Chunk[] = [];
  let size = 0;

  const open = (neededBytes: number): Chunk => {
    // A chunk that is dropped is used again: in the steady state nothing is allocated.
    const dropped = (chunks.length + 1) * chunkBytes > maxBytes ? chunks.shift() : undefined;
    const bytes = dropped !== undefined && dropped.bytes.length >= neededBytes ? dropped.bytes : Buffer.allocUnsafeSlow(Math.max(chunkBytes, neededBytes));
    const chunk = { firstIndex: size, bytes, ends: [] };
    chunks.push(chunk);
    return chunk;
  };

  return {
    push(entry) {
      const last = chunks.at(-1);
      const neededBytes = entry.length * BYTES_PER_UNIT;
      const chunk = last !== undefined && (last.ends.at(-1) ?? 0) + neededBytes <= last.bytes.length ? last : open(neededBytes);
      const start = chunk.ends.at(-1) ?? 0;
      chunk.ends.push(start + chunk.bytes.write(entry, start, 'utf8'));
      size++;
    },
    at(index) {
      const chunk = chunks.findLast(({ firstIndex }) => firstIndex <= index);
      const end = chunk?.ends[index - chunk.firstIndex];
      return chunk === undefined || end === undefined ? undefined : chunk.bytes.toString('utf8', chunk.ends[index - chunk.firstIndex - 1] ?? 0, end);
    },
    size: () => size,
  };
}
