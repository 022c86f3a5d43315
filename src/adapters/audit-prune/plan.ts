import type { LogFiles } from '../audit-check/log-files.ts';
import { TILE_WIDTH, parseTilePath, tilePath } from '../../core/log/tiles.ts';
import { readBundle } from '../audit-check/bundle.ts';
import { readEntry } from '../audit-check/entry-layout.ts';

/** How far a log may be pruned at all: what is behind is still needed. */
export interface PruneLimit {
  readonly index: number;
  readonly why: string;
}

export interface PruneRequest {
  readonly files: LogFiles;
  /** Entries older than this, RFC 3339 UTC with milliseconds. */
  readonly before: string;
  /** Entries below were pruned already. */
  readonly minimumIndex: number;
  readonly limit: PruneLimit;
  readonly onProgress: (entries: number) => void;
}

export interface PrunePlan {
  /** What `minimum-index` is to say; a multiple of 256. */
  readonly minimumIndex: number;
  /** The bundles that go. */
  readonly bundles: readonly number[];
  readonly bytes: number;
  /** Bundles that stay, since they announce keys of the log. */
  readonly kept: readonly number[];
  /** What ended it before an entry was young enough to stay. */
  readonly stoppedBy: string | undefined;
}

const ANNOUNCES = Buffer.from('"op":"log-keys"');

/**
 * Which bundles are old enough and may go. Each is held against its hashes first: what is damaged is evidence, and stays.
 * Announcements of keys stay too, as a verifier follows them from the keys that `init` printed.
 */
export function planPrune({ files, before, minimumIndex, limit, onProgress }: PruneRequest): PrunePlan {
  const end = Math.floor(limit.index / TILE_WIDTH);
  const bundles: number[] = [];
  const kept: number[] = [];
  let bytes = 0;
  let next = minimumIndex / TILE_WIDTH;
  let isYoung = false;

  for (const index of bundlesIn(files)) {
    if (index >= end) break;
    const bundle = readWhole(files, index);
    if (timeOfLast(bundle, index) >= before) {
      isYoung = true;
      break;
    }
    // Below `minimum-index` only those are there that were kept, or that a prune cut short has left.
    if (index > next) throw new Error(`${tilePath('entries', next)} is missing: nothing was pruned; ron-kms audit verify tells more`);
    next = Math.max(next, index + 1);
    if (bundle.bytes.includes(ANNOUNCES)) kept.push(index);
    else {
      bundles.push(index);
      bytes += bundle.bytes.length;
    }
    onProgress(TILE_WIDTH);
  }
  return { minimumIndex: next * TILE_WIDTH, bundles, bytes, kept, stoppedBy: isYoung ? undefined : limit.why };
}

/** The full bundles that are there, in their order. */
function bundlesIn(files: LogFiles): readonly number[] {
  return files.names('tile/entries', true)
    .map((name) => parseTilePath(`tile/entries/${name}`))
    .flatMap((tile) => (tile?.width === TILE_WIDTH ? [tile.index] : []))
    .toSorted((a, b) => a - b);
}

interface WholeBundle {
  readonly bytes: Buffer;
  /** Where its last entry begins and ends. */
  readonly last: readonly [number, number];
}

/** A bundle that is what was logged. */
function readWhole(files: LogFiles, index: number): WholeBundle {
  const bytes = files.bundle(index, TILE_WIDTH)?.bytes ?? Buffer.alloc(0);
  const { starts, ends, leaves, restBytes } = readBundle(bytes, TILE_WIDTH);
  const isAsLogged = starts.length === TILE_WIDTH && restBytes === 0 && files.hashes(0, index, TILE_WIDTH)?.equals(leaves) === true;
  if (!isAsLogged) throw new Error(`${tilePath('entries', index)} is not what was logged: nothing was pruned; ron-kms audit verify tells more`);
  return { bytes, last: [starts.at(-1) ?? 0, ends.at(-1) ?? 0] };
}

/** No entry of the bundle is younger. */
function timeOfLast({ bytes, last: [start, end] }: WholeBundle, index: number): string {
  const facts = readEntry(bytes, bytes.toString('latin1'), start, end);
  if (typeof facts === 'string') throw new Error(`entry ${(index + 1) * TILE_WIDTH - 1} ${facts}: nothing was pruned; ron-kms audit verify tells more`);
  return facts.ts;
}
