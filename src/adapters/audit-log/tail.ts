import type { Tile } from './storage.ts';
import { TILE_WIDTH, encodeBundle } from '../../core/log/tiles.ts';

/** The newest entries, which are in no full bundle of the storage yet: in bundle format, so that writing one is a copy. */
export interface Tail {
  firstIndex(): number;
  size(): number;
  bytes(): number;
  /** Entries in bundle format between these offsets; `ends` says where each one ends. */
  append(source: Buffer, start: number, ends: readonly number[]): void;
  entry(index: number): Buffer | undefined;
  /** These entries in bundle format. */
  slice(from: number, to: number): Buffer;
  fullBundles(): readonly Tile[];
  /** Drops whole bundles that end at or below this entry: the storage has them. */
  dropBelow(index: number): void;
}

interface Bundle {
  readonly index: number;
  bytes: Buffer;
  readonly ends: number[];
}

const LENGTH_BYTES = 2;
const BUNDLE_BYTES = 1 << 17;

/** `firstIndex` is where a bundle begins. */
export function createTail(firstIndex: number): Tail {
  const bundles: Bundle[] = [emptyBundle(firstIndex / TILE_WIDTH)];
  let size = firstIndex;
  let bytes = 0;

  const bundleOf = (index: number): Bundle | undefined => bundles[Math.floor(index / TILE_WIDTH) - (bundles[0]?.index ?? 0)];

  /** As many of the entries from `from` on as the open bundle takes, with one copy. */
  const fill = (source: Buffer, start: number, ends: readonly number[], from: number): number => {
    const open = bundles.at(-1) as Bundle;
    const to = Math.min(ends.length, from + TILE_WIDTH - open.ends.length);
    const end = ends[to - 1] ?? start;
    const base = lengthOf(open);
    if (base + end - start > open.bytes.length) open.bytes = grown(open.bytes, base, base + end - start);
    source.copy(open.bytes, base, start, end);
    for (let i = from; i < to; i++) open.ends.push(base + (ends[i] as number) - start);
    if (open.ends.length === TILE_WIDTH) bundles.push(emptyBundle(open.index + 1));
    return to;
  };

  return {
    firstIndex: () => (bundles[0]?.index ?? 0) * TILE_WIDTH,
    size: () => size,
    bytes: () => bytes,
    append(source, start, ends) {
      for (let done = 0, at = start; done < ends.length; at = ends[done - 1] as number) done = fill(source, at, ends, done);
      size += ends.length;
      bytes += (ends.at(-1) ?? start) - start;
    },
    entry(index) {
      const bundle = index < size ? bundleOf(index) : undefined;
      const at = index % TILE_WIDTH;
      return bundle && Buffer.from(bundle.bytes.subarray((bundle.ends[at - 1] ?? 0) + LENGTH_BYTES, bundle.ends[at]));
    },
    slice(from, to) {
      const parts: Buffer[] = [];
      for (let start = from; start < to; start = (Math.floor(start / TILE_WIDTH) + 1) * TILE_WIDTH) {
        const bundle = bundleOf(start) as Bundle;
        const last = Math.min(to - bundle.index * TILE_WIDTH, bundle.ends.length) - 1;
        parts.push(bundle.bytes.subarray(bundle.ends[(start % TILE_WIDTH) - 1] ?? 0, bundle.ends[last]));
      }
      return Buffer.concat(parts);
    },
    fullBundles: () => bundles.slice(0, -1).map((bundle) => ({ level: 'entries', index: bundle.index, width: TILE_WIDTH, bytes: bundle.bytes.subarray(0, lengthOf(bundle)) })),
    dropBelow(index) {
      while (bundles.length > 1 && ((bundles[0]?.index ?? 0) + 1) * TILE_WIDTH <= index) bytes -= lengthOf(bundles.shift() as Bundle);
    },
  };
}

function emptyBundle(index: number): Bundle {
  return { index, bytes: Buffer.allocUnsafeSlow(BUNDLE_BYTES), ends: [] };
}

function lengthOf({ ends }: Bundle): number {
  return ends.at(-1) ?? 0;
}

function grown(bytes: Buffer, used: number, needed: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(2 * bytes.length, needed));
  bytes.copy(larger, 0, 0, used);
  return larger;
}

export function appendEntries(tail: Tail, entries: readonly Buffer[]): void {
  let end = 0;
  tail.append(encodeBundle(entries), 0, entries.map((entry) => (end += LENGTH_BYTES + entry.length)));
}
