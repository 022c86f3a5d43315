import type { AuditReader } from '../../ports/audit-reader.ts';
import type { LogSigner } from '../../ports/log-signer.ts';
import type { Body, SignedHead } from './body.ts';
import type { Checkpointer } from './checkpointer.ts';
import type { LogStorage } from './storage.ts';
import { HASH_BYTES } from '../../../client/src/log/hash.ts';
import { TILE_WIDTH, encodeBundle, splitBundle, tileWidth } from '../../core/log/tiles.ts';

export interface ReaderDeps {
  readonly storage: Pick<LogStorage, 'readTile' | 'minimumIndex'>;
  readonly body: Pick<Body, 'tail' | 'size'>;
  readonly checkpointer: Pick<Checkpointer, 'newest' | 'covering'>;
  readonly signer: Pick<LogSigner, 'origin' | 'keys'>;
}

/** An answer of entries stops once it has this much. */
const ENTRIES_BYTES = 1 << 20;

/** Reads the newest entries from memory, all others from the storage's bundles. */
export function createReader({ storage, body, checkpointer, signer }: ReaderDeps): AuditReader {
  /** From this index on, to the end of its bundle or of the log. */
  const run = async (from: number): Promise<readonly Buffer[]> => {
    const end = Math.min(body.size(), (Math.floor(from / TILE_WIDTH) + 1) * TILE_WIDTH);
    if (from >= body.tail.firstIndex()) return Array.from({ length: end - from }, (_, i) => body.tail.entry(from + i)).filter((entry) => entry !== undefined);
    const bundle = await storage.readTile('entries', Math.floor(from / TILE_WIDTH), TILE_WIDTH);
    return (bundle && splitBundle(bundle)?.slice(from % TILE_WIDTH)) ?? [];
  };

  /** As wide as the newest checkpoint has it: what else is there, a crash may have left half written. */
  const tile: AuditReader['tile'] = async (level, index, width) => {
    const widthNow = (): number => tileWidth(checkpointer.newest()?.size ?? 0, level, index);
    for (let there = widthNow(); there >= width;) {
      const bytes = await storage.readTile(level, index, there);
      if (bytes !== undefined) return there === width ? bytes : cut(level, bytes, width);
      // It gave way to a wider one meanwhile, or it is not there.
      const before = there;
      there = widthNow();
      if (there === before) break;
    }
    return undefined;
  };

  return {
    origin: signer.origin,
    size: body.size,
    minimumIndex: storage.minimumIndex,
    async entries(from, limit) {
      const found: Buffer[] = [];
      let bytes = 0;
      for (let at = from; at < body.size() && found.length < limit && bytes < ENTRIES_BYTES; at = from + found.length) {
        const entries = await run(at);
        if (entries.length === 0) break;
        for (const entry of entries.slice(0, limit - found.length)) {
          if (found.length > 0 && bytes + entry.length > ENTRIES_BYTES) return found;
          found.push(entry);
          bytes += entry.length;
        }
      }
      return found;
    },
    checkpoint() {
      const newest = checkpointer.newest();
      return newest && published(newest);
    },
    covering: async (index) => published(await checkpointer.covering(index)),
    tile,
    keys: () => signer.keys(),
  };
}

/** The first `width` hashes or entries of a wider tile. */
export function cut(level: number | 'entries', bytes: Buffer, width: number): Buffer | undefined {
  if (level !== 'entries') return bytes.subarray(0, width * HASH_BYTES);
  const entries = splitBundle(bytes);
  return entries && encodeBundle(entries.slice(0, width));
}

type Published = Awaited<ReturnType<AuditReader['covering']>>;

function published({ note, size }: SignedHead): Published {
  return { note, size };
}
