import type { SlowLogKeys } from './slow-log.ts';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { leafHash } from '../../client/src/log/hash.ts';
import { formatReceipt } from '../../client/src/log/receipt.ts';
import { inclusionProof } from '../../src/core/log/proofs.ts';
import { encodeBundle, TILE_WIDTH, tilePath, tileWidth } from '../../src/core/log/tiles.ts';
import { createTreeEdge } from '../../src/core/log/tree-edge.ts';
import { slowNote } from './slow-log.ts';
import { createTileStore } from './tile-store.ts';

export interface LogDirectory {
  readonly note: string;
  receipt(index: number): Promise<string>;
}

/** The published files of a log with these entries, as `audit.dir` has them after a checkpoint; no service has a part in it. */
export function writeLogDirectory(dir: string, entries: readonly Buffer[], keys: SlowLogKeys, timestampS: number): LogDirectory {
  const edge = createTreeEdge();
  for (const entry of entries) edge.append(leafHash(entry));
  const store = createTileStore();
  store.write(edge);
  const put = (path: string, content: Buffer | string): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content);
  };
  for (const [path, bytes] of store.tiles) put(path, bytes);
  for (let index = 0; index * TILE_WIDTH < entries.length; index++) {
    const first = index * TILE_WIDTH;
    put(tilePath('entries', index, tileWidth(entries.length, 'entries', index)), encodeBundle(entries.slice(first, first + TILE_WIDTH)));
  }
  const note = slowNote({ origin: keys.name, size: entries.length, rootHash: edge.rootHash() }, timestampS, keys);
  put('checkpoint', note);
  return {
    note,
    receipt: async (index) => formatReceipt({ entry: entries[index] as Buffer, index, proof: await inclusionProof(index, entries.length, store.read), note }),
  };
}
