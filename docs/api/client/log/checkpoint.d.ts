/** A tree head: which log, how many entries, and the root over them. */
export interface Checkpoint {
    readonly origin: string;
    readonly size: number;
    readonly rootHash: Buffer;
}
/** C2SP tlog-checkpoint: three lines. None follows: what stood there the ML-DSA signature would not cover. */
export declare function formatCheckpoint({ origin, size, rootHash }: Checkpoint): string;
/** The text of a note as a checkpoint; undefined when it is none, or has a fourth line. */
export declare function parseCheckpoint(text: string): Checkpoint | undefined;
