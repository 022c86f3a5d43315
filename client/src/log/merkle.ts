import { EMPTY_ROOT, nodeHash } from './hash.ts';

export interface Inclusion {
  readonly leafHash: Buffer;
  readonly index: number;
  readonly size: number;
  /** From the leaf's neighbour up to the child of the root. */
  readonly proof: readonly Buffer[];
  readonly rootHash: Buffer;
}

export interface Consistency {
  readonly oldSize: number;
  readonly oldRoot: Buffer;
  readonly newSize: number;
  readonly newRoot: Buffer;
  readonly proof: readonly Buffer[];
}

/** RFC 9162 §2.1.3.2: whether the leaf stands at this index of the tree with this root. Halved, not shifted: sizes go beyond 32 bits. */
export function verifyInclusion({ leafHash, index, size, proof, rootHash }: Inclusion): boolean {
  if (!isCount(index) || !isCount(size) || index >= size) return false;
  let node = index;
  let last = size - 1;
  let hash = leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      hash = nodeHash(sibling, hash);
      while (!isOdd(node) && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && hash.equals(rootHash);
}

/** RFC 9162 §2.1.4.2: whether the tree of the new root begins with the tree of the old one. */
export function verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof }: Consistency): boolean {
  if (!isCount(oldSize) || !isCount(newSize) || oldSize > newSize) return false;
  if (oldSize === 0) return proof.length === 0 && oldRoot.equals(EMPTY_ROOT) && (newSize > 0 || newRoot.equals(EMPTY_ROOT));
  if (oldSize === newSize) return proof.length === 0 && oldRoot.equals(newRoot);
  let node = oldSize - 1;
  let last = newSize - 1;
  while (isOdd(node)) [node, last] = [half(node), half(last)];
  // A whole subtree on the left is its own beginning: a proof leaves it out.
  const [first, ...rest] = node === 0 ? [oldRoot, ...proof] : proof;
  if (first === undefined) return false;
  let oldHash = first;
  let newHash = first;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      oldHash = nodeHash(sibling, oldHash);
      newHash = nodeHash(sibling, newHash);
      while (!isOdd(node) && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      newHash = nodeHash(newHash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && oldHash.equals(oldRoot) && newHash.equals(newRoot);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isOdd(value: number): boolean {
  return value % 2 === 1;
}

function half(value: number): number {
  return Math.floor(value / 2);
}
