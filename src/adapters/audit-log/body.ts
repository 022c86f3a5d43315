import type { HashTile, TreeEdge } from '../../core/log/tree-edge.ts';
import type { FrozenLedger, Ledger } from './ledger.ts';
import type { Tile } from './storage.ts';
import type { Tail } from './tail.ts';
import type { EncodedGroup } from './group.ts';
import { leafHash } from '../../../client/src/log/hash.ts';
import { TILE_WIDTH } from '../../core/log/tiles.ts';

/** The tree at one size, with all that the storage does not have of it yet. */
export interface Head {
  readonly size: number;
  readonly rootHash: Buffer;
  /** Full ones that were not written yet, lowest level first, and the partial ones of this size. */
  readonly tiles: readonly Tile[];
  readonly frozen: FrozenLedger | undefined;
}

/** A checkpoint that was written. */
export interface SignedHead {
  readonly size: number;
  readonly rootHash: Buffer;
  readonly note: string;
}

/** What the log has in memory of its entries: the tree's edge, the newest entries, the ledger. They grow together. */
export interface Body {
  readonly tail: Tail;
  readonly ledger: Ledger;
  size(): number;
  hashesOf(group: EncodedGroup): readonly Buffer[];
  add(group: EncodedGroup, hashes: readonly Buffer[]): void;
  capture(withLedger: boolean): Head;
  /** The storage has the tiles of this head. */
  written(head: Head): void;
}

export function createBody({ edge, tail, ledger }: { readonly edge: TreeEdge; readonly tail: Tail; readonly ledger: Ledger }): Body {
  /** Completed, and not yet known to be in the storage. */
  let full: HashTile[] = [];

  return {
    tail,
    ledger,
    size: edge.size,
    hashesOf: ({ bytes, ends, start }) => ends.map((end, i) => leafHash(bytes.subarray((ends[i - 1] ?? start) + 2, end))),
    add({ firstIndex, bytes, start, ends, events }, hashes) {
      tail.append(bytes, start, ends);
      for (const [i, event] of events.entries()) {
        edge.append(hashes[i] as Buffer);
        ledger.note(firstIndex + i, event);
      }
    },
    capture(withLedger) {
      full = [...full, ...edge.takeFullTiles()];
      const size = edge.size();
      const bundles = tail.fullBundles();
      const rest = size % TILE_WIDTH;
      const partialBundle = { level: 'entries' as const, index: (size - rest) / TILE_WIDTH, width: rest, bytes: tail.slice(size - rest, size) };
      return {
        size,
        rootHash: edge.rootHash(),
        tiles: [...bundles, ...full, ...(rest > 0 ? [partialBundle] : []), ...edge.partialTiles()],
        frozen: withLedger ? ledger.freeze() : undefined,
      };
    },
    written({ size, tiles }) {
      const names = new Set(tiles);
      full = full.filter((tile) => !names.has(tile));
      tail.dropBelow(size);
    },
  };
}
