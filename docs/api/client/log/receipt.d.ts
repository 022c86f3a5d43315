import type { Checkpoint } from './checkpoint.ts';
import type { VerifierKey } from './vkey.ts';
/** A C2SP tlog-proof. The service always gives the entry with it. */
export interface Receipt {
    readonly entry?: Buffer;
    readonly index: number;
    /** RFC 6962 audit path, from the leaf's neighbour up. */
    readonly proof: readonly Buffer[];
    /** A signed checkpoint over the entry. */
    readonly note: string;
}
export type CheckedReceipt = CheckedEntry | {
    readonly ok: false;
    readonly why: string;
};
/** What the log says was done, and the tree head that it stands under. */
export interface CheckedEntry {
    readonly ok: true;
    /** The bytes that were hashed. */
    readonly entry: Buffer;
    readonly index: number;
    readonly checkpoint: Checkpoint;
    /** The entry as an object. */
    readonly fields: Readonly<Record<string, unknown>>;
    /** When the log signed, POSIX seconds; absent where no ML-DSA-44 key was given. */
    readonly timestampS?: number;
}
export declare function formatReceipt({ entry, index, proof, note }: Receipt): string;
/** Undefined when it is not a tlog-proof. Nothing of it is true for that: `checkReceipt` says whether it is. */
export declare function parseReceipt(text: string): Receipt | undefined;
/**
 * Whether the log whose keys these are has taken in the entry that the receipt carries. Needs nothing else, and
 * believes nothing but the keys, so take them from where the log was made, not from the service.
 */
export declare function checkReceipt(text: string, vkeys: readonly VerifierKey[]): CheckedReceipt;
