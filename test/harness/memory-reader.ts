import type { MemoryLog } from '../../src/adapters/audit-memory/log.ts';
import type { AuditReader } from '../../src/ports/audit-reader.ts';
import { generateKeyPairSync, sign } from 'node:crypto';
import { formatCheckpoint } from '../../client/src/log/checkpoint.ts';
import { leafHash } from '../../client/src/log/hash.ts';
import { formatSignature } from '../../client/src/log/note.ts';
import { formatVkey, SIGNATURE_TYPE, vkeyOf } from '../../client/src/log/vkey.ts';
import { foldRoots, subtreeRoots } from '../../src/core/log/subtrees.ts';
import { encodeBundle, TILE_WIDTH, tileWidth } from '../../src/core/log/tiles.ts';

/** Reads a log in memory the slow way: everything is made anew from its entries. Signed with Ed25519 alone. */
export interface MemoryReader extends AuditReader {
  /** From now on a checkpoint is taken only when this is called. */
  takeCheckpoint(): void;
  /** What is below it is as good as dropped. */
  pruneBelow(index: number): void;
}

const TEST_ORIGIN = 'ron-kms/01890000-0000-7000-8000-00000000aaaa';

export function createMemoryReader(log: Pick<MemoryLog, 'entry' | 'size'>): MemoryReader {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const vkey = vkeyOf(TEST_ORIGIN, SIGNATURE_TYPE.ed25519, Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'));
  let newest: { note: string; size: number } | undefined;
  let isManual = false;
  let minimumIndex = 0;
  let waiting: (() => void)[] = [];

  const bytesAt = (index: number): Buffer => Buffer.from(log.entry(index) ?? '');
  /** The hashes of a level that are whole in a tree of this size. */
  const levelOf = (level: number, size: number): Buffer[] => {
    if (level === 0) return Array.from({ length: size }, (_, i) => leafHash(bytesAt(i)));
    const below = levelOf(level - 1, size);
    return Array.from({ length: Math.floor(below.length / TILE_WIDTH) }, (_, i) => foldRoots(subtreeRoots(Buffer.concat(below.slice(i * TILE_WIDTH, (i + 1) * TILE_WIDTH)))));
  };
  const rootOf = (size: number): Buffer => foldRoots(subtreeRoots(Buffer.concat(levelOf(0, size))));
  const checkpointNow = (): { note: string; size: number } => {
    const size = log.size();
    const text = formatCheckpoint({ origin: TEST_ORIGIN, size, rootHash: rootOf(size) });
    return { size, note: `${text}\n${formatSignature({ name: vkey.name, keyId: vkey.keyId, signature: sign(null, Buffer.from(text), privateKey) })}` };
  };
  const newestNow = () => (isManual ? newest : (newest = log.size() === 0 ? undefined : checkpointNow()));

  return {
    origin: TEST_ORIGIN,
    size: log.size,
    minimumIndex: () => minimumIndex,
    entries: async (from, limit) => Array.from({ length: Math.max(0, Math.min(limit, log.size() - from)) }, (_, i) => bytesAt(from + i)),
    checkpoint: newestNow,
    async covering(index) {
      for (;;) {
        const checkpoint = newestNow();
        if (checkpoint !== undefined && checkpoint.size > index) return checkpoint;
        await new Promise<void>((resolve) => { waiting.push(resolve); });
      }
    },
    async tile(level, index, width) {
      if (tileWidth(log.size(), level, index) < width) return undefined;
      const start = index * TILE_WIDTH;
      if (level === 'entries') return encodeBundle(Array.from({ length: width }, (_, i) => bytesAt(start + i)));
      return Buffer.concat(levelOf(level, log.size()).slice(start, start + width));
    },
    keys: () => [{ vkey: formatVkey(vkey), alg: 'ed25519', fromIndex: 0 }],
    takeCheckpoint() {
      isManual = true;
      newest = checkpointNow();
      for (const resolve of waiting) resolve();
      waiting = [];
    },
    pruneBelow(index) {
      minimumIndex = index;
    },
  };
}
