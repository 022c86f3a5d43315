import { EMPTY_ROOT, HASH_BYTES, nodeHash } from '../../../client/src/log/hash.ts';

/**
 * The roots of the whole subtrees that stand side by side over these hashes, largest first: one for each bit of their
 * number. Over the 256 of a full tile that is one, its entry in the tile above.
 */
export function subtreeRoots(hashes: Buffer): Buffer[] {
  const roots: Buffer[] = [];
  let row = hashesOf(hashes);
  while (row.length > 0) {
    const last = row.length % 2 === 1 ? row.at(-1) : undefined;
    if (last !== undefined) roots.unshift(last);
    row = parentsOf(row);
  }
  return roots;
}

/** RFC 6962 §2.1 from the roots of whole subtrees, largest first: each takes all to its right as its neighbour. */
export function foldRoots(roots: readonly Buffer[]): Buffer {
  return roots.length === 0 ? EMPTY_ROOT : roots.reduceRight((right, left) => nodeHash(left, right));
}

function parentsOf(row: readonly Buffer[]): Buffer[] {
  const parents: Buffer[] = [];
  for (let i = 1; i < row.length; i += 2) parents.push(nodeHash(row[i - 1] as Buffer, row[i] as Buffer));
  return parents;
}

function hashesOf(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) => bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES));
}
