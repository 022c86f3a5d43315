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
export declare function verifyInclusion({ leafHash, index, size, proof, rootHash }: Inclusion): boolean;
/** RFC 9162 §2.1.4.2: whether the tree of the new root begins with the tree of the old one. */
export declare function verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof }: Consistency): boolean;
