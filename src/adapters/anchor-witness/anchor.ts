import type { SignatureLine } from '../../../client/src/log/note.ts';
import type { VerifierKey } from '../../../client/src/log/vkey.ts';
import type { Anchor, AnchorProof } from '../../ports/anchor.ts';
import type { Clock } from '../../ports/clock.ts';
import type { WitnessAnswer } from './submit.ts';
import { parseTimestamped } from '../../../client/src/log/cosignature.ts';
import { formatSignature, parseNote } from '../../../client/src/log/note.ts';
import { verifyCheckpointNote } from '../../../client/src/log/verify-note.ts';
import { KmsError } from '../../core/errors.ts';
import { submitCheckpoint } from './submit.ts';

export interface WitnessAnchorDeps {
  /** `audit.witness_url`: the submission prefix. */
  readonly url: string;
  /** `audit.witness_vkey`, pinned: nothing else says that an answer is the witness's. */
  readonly key: VerifierKey;
  /** The log's own, old and new: a note is read with them, and their signatures stand in front of the witness's. */
  readonly logKeys: () => readonly VerifierKey[];
  readonly clock: Clock;
}

/** For everything that one reading or one advance takes, sizes corrected on the way included. */
const DEADLINE_MS = 2000;
/** From what we remember, from what it says it has seen, and once more when another submission came between. */
const SUBMISSIONS_MAX = 3;
/** How far the clocks of the two may be apart. An older cosignature may be another's, kept and played back. */
const SKEW_MAX_MS = 300_000;

/** A C2SP tlog-witness: another party that has seen how far the log went, and cosigns nothing that goes behind it. */
export function createWitnessAnchor({ url, key, logKeys, clock }: WitnessAnchorDeps): Anchor {
  const endpoint = `${url.replace(/\/+$/, '')}/add-checkpoint`;
  let cosignedSize = 0;

  const believed = (lines: string, proof: AnchorProof): { readonly cosignatures: string } => {
    const cosignatures = cosignaturesBy(key, logKeys(), lines, proof, clock.wallMs());
    cosignedSize = proof.treeSize;
    return { cosignatures };
  };

  /** What it says to this checkpoint, held against all we know of the witness itself. */
  const submit = async (oldSize: number, proof: AnchorProof, signal: AbortSignal): Promise<WitnessAnswer> => {
    if (oldSize > proof.treeSize) return isAhead(oldSize, proof);
    const answer = await submitCheckpoint(endpoint, oldSize, proof, signal);
    if (!('seenSize' in answer)) return answer;
    const { seenSize } = answer;
    if (seenSize > proof.treeSize) return isAhead(seenSize, proof);
    if (seenSize < cosignedSize) return { fault: `the witness has cosigned ${cosignedSize} entries of this log and now knows of ${seenSize}: it lost its record or is another one` };
    return answer;
  };

  return {
    kind: 'witness',
    // A checkpoint as its own predecessor: it is refused with the size seen, or cosigned when it is what was seen
    // last. Never does the witness learn anything by it, so one that has lost its record still says so tomorrow.
    read: (newest) =>
      reaching(async (signal) => {
        const answer = await submit(newest.treeSize, newest, signal);
        if ('fault' in answer) return answer;
        if ('seenSize' in answer) return answer.seenSize === 0 ? undefined : answer;
        believed(answer.lines, newest);
        return { seenSize: newest.treeSize };
      }),
    advance: (_value, proof) =>
      reaching(async (signal) => {
        let oldSize = cosignedSize;
        for (let submissions = 0; submissions < SUBMISSIONS_MAX; submissions++) {
          const answer = await submit(oldSize, proof, signal);
          if ('fault' in answer) return answer;
          if ('lines' in answer) return believed(answer.lines, proof);
          oldSize = answer.seenSize;
        }
        throw new Error('the witness names another size each time');
      }),
  };
}

function isAhead(seenSize: number, { treeSize }: AnchorProof): { readonly fault: string } {
  return { fault: `the witness has seen ${seenSize} entries of this log, its newest checkpoint covers ${treeSize}: an older copy of the log was restored, or its end is missing` };
}

/** The lines of the pinned key, verified over this head. Throws when there is none, or one is not of now. */
function cosignaturesBy(key: VerifierKey, logKeys: readonly VerifierKey[], lines: string, { note, origin, treeSize, rootHash }: AnchorProof, nowMs: number): string {
  const verified = verifyCheckpointNote(note + lines, [...logKeys, key]);
  if ('fault' in verified) throw new Error(`the witness's cosignature is not believed: ${verified.fault}`);
  const { checkpoint } = verified;
  if (checkpoint.origin !== origin || checkpoint.size !== treeSize || !checkpoint.rootHash.equals(rootHash)) throw new Error('the note is of another head than the proof');
  // The note may carry cosignatures of before: of those nothing is said here.
  const carried = parseNote(note)?.signatures.length ?? 0;
  const own = parseNote(note + lines)?.signatures.slice(carried).filter(({ name, keyId }) => name === key.name && keyId.equals(key.keyId)) ?? [];
  if (own.length === 0) throw new Error('the witness answered without a cosignature of the pinned key');
  if (!own.every((line) => isOfNow(line, nowMs))) throw new Error('the witness cosigned at another time than now: it plays back an old one, or a clock is wrong');
  return own.map(formatSignature).join('');
}

/** Time 0 states nothing of when, and so nothing of this being the largest tree seen. */
function isOfNow({ signature }: SignatureLine, nowMs: number): boolean {
  const timestampS = parseTimestamped(signature)?.timestampS ?? 0;
  return Math.abs(nowMs - timestampS * 1000) <= SKEW_MAX_MS;
}

async function reaching<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  try {
    return await work(AbortSignal.timeout(DEADLINE_MS));
  } catch (cause) {
    throw new KmsError('AuditUnavailable', { hint: 'the anchor cannot be reached', cause });
  }
}
