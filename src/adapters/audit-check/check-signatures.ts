import type { VerifierKey } from '../../../client/src/log/vkey.ts';
import type { VerifiedCheckpoint } from '../../../client/src/log/verify-note.ts';
import type { KeyChain } from './key-chain.ts';
import { verifyCheckpointNote } from '../../../client/src/log/verify-note.ts';

export interface SignatureCheck {
  readonly chain: KeyChain;
  /** Keys that are not the log's: their signatures are held against the note where they stand on it. */
  readonly witnesses: readonly VerifierKey[];
}

/** A note over a tree of this size, by keys that may have signed it then; or what is wrong with it. */
export function verifySigned(note: string, size: number, { chain, witnesses }: SignatureCheck): VerifiedCheckpoint | { readonly fault: string } {
  let firstFault: string | undefined;
  for (const { keys, untilMs } of chain.signersOf(size)) {
    if (keys.length === 0) continue;
    const verified = verifyCheckpointNote(note, [...keys, ...witnesses]);
    if ('fault' in verified) firstFault ??= verified.fault;
    else if (isBefore(verified.timestampS, untilMs)) return verified;
    else firstFault ??= 'it is signed by keys that others had taken the place of';
  }
  return { fault: firstFault ?? 'the pinned keys vouch for none of the keys that may sign it' };
}

/** Without a time in the signature nothing says that it was made while the keys were good. */
function isBefore(timestampS: number | undefined, untilMs: number): boolean {
  return untilMs === Number.POSITIVE_INFINITY || (timestampS !== undefined && timestampS * 1000 <= untilMs);
}
