/** What a cosigner says of a tree (C2SP tlog-cosignature). */
export interface CosignedTree {
    readonly cosignerName: string;
    /** POSIX seconds. */
    readonly timestampS: number;
    readonly origin: string;
    /** A checkpoint is the subtree from the first entry on. */
    readonly start: 0;
    /** The tree size. */
    readonly end: number;
    readonly hash: Uint8Array;
}
export interface TimestampedSignature {
    readonly timestampS: number;
    readonly signature: Buffer;
}
/** `cosigned_message`: the bytes under an ML-DSA-44 cosignature (0x06). It binds name and time, and the tree without the text of the note. */
export declare function cosignedMessage({ cosignerName, timestampS, origin, start, end, hash }: CosignedTree): Buffer;
/** The bytes under an Ed25519 cosignature (0x04), as witnesses make them: two lines and the text of the note. */
export declare function cosignatureV1Message(timestampS: number, text: string): Buffer;
/** `timestamped_signature`: what stands in the signature line of either. */
export declare function encodeTimestamped({ timestampS, signature }: TimestampedSignature): Buffer;
export declare function parseTimestamped(bytes: Buffer): TimestampedSignature | undefined;
