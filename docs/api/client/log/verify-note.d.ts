import type { Checkpoint } from './checkpoint.ts';
import type { VerifierKey } from './vkey.ts';
export interface VerifiedCheckpoint {
    readonly checkpoint: Checkpoint;
    /** Those of the given keys that signed, witnesses too; each once. */
    readonly signedBy: readonly VerifierKey[];
    /** When the log signed, POSIX seconds, as its ML-DSA-44 signature says; absent where no such key was given. */
    readonly timestampS?: number;
}
export interface NoteFault {
    readonly fault: string;
}
/**
 * Checks a signed checkpoint against keys known from elsewhere: those of the log, named as its origin, and any of
 * witnesses. Signatures of other keys say nothing and are passed over; a known key's signature that does not hold spoils
 * the note. Of a log that has changed its keys, give the one set that is believed: kinds are counted, not sets.
 */
export declare function verifyCheckpointNote(note: string, keys: readonly VerifierKey[]): VerifiedCheckpoint | NoteFault;
