import type { LogFault } from './faults.ts';
import type { ClaimedHead, Heads } from './heads.ts';
import type { SignatureCheck } from './check-signatures.ts';
import { parseCheckpoint } from '../../../client/src/log/checkpoint.ts';
import { parseNote } from '../../../client/src/log/note.ts';
import { verifySigned } from './check-signatures.ts';

/** What is known of the log from out of reach of whoever can restore its directory. */
export interface Known {
  /** What an anchor's device holds. */
  readonly anchor?: { readonly origin: string; readonly value: number; readonly head: ClaimedHead };
  /** A checkpoint that was saved: a signed note. */
  readonly checkpoint?: string;
  /** That of the key store; where it may be in use, as it was before the log was read, and as it is behind it. */
  readonly storeGeneration?: number | { readonly before: number; now(): number };
}

export interface KnownCheck {
  readonly origin: string;
  /** Of the newest checkpoint. */
  readonly size: number;
  readonly heads: Heads;
  readonly signatures: SignatureCheck;
  /** Every entry was read: an anchor entry that was not found is not there. */
  readonly isWhole: boolean;
  readonly openIntents: number;
  /** The last one that an entry names. */
  readonly generation: number | undefined;
  report(fault: LogFault): void;
}

/** Finds a log that is an older copy of itself, which nothing in its directory can tell. */
export async function checkKnown({ anchor, checkpoint, storeGeneration }: Known, check: KnownCheck): Promise<void> {
  const { heads, report } = check;
  await heads.settled();
  const rolledBack = (what: string): void => report({ kind: 'rolled-back', file: 'checkpoint', what });

  if (checkpoint !== undefined) {
    const saved = parseCheckpoint(parseNote(checkpoint)?.text ?? '');
    const fault = savedFault(checkpoint, saved, check) ?? (saved && (await goneFault(saved, check)));
    if (fault !== undefined) rolledBack(`the saved checkpoint ${fault}`);
  }
  if (anchor !== undefined) {
    const fault = anchor.origin === check.origin ? (await goneFault(anchor.head, check)) ?? valueFault(anchor.value, check) : `is of ${anchor.origin}`;
    if (fault !== undefined) rolledBack(`the anchor ${fault}`);
  }
  const ofStore = storeGeneration === undefined ? undefined : storeFault(storeGeneration, check);
  if (ofStore !== undefined) report({ kind: 'generation', file: 'checkpoint', what: ofStore });
}

function savedFault(note: string, saved: ReturnType<typeof parseCheckpoint>, { origin, signatures }: KnownCheck): string | undefined {
  if (saved === undefined) return 'is not a signed checkpoint';
  if (saved.origin !== origin) return `is of ${saved.origin}`;
  // When it was signed does not matter: that it was, and that the log goes on from it.
  const always = { ...signatures, chain: { signersOf: (size: number) => signatures.chain.signersOf(size).map(({ keys }) => ({ keys, untilMs: Number.POSITIVE_INFINITY })) } };
  const verified = verifySigned(note, saved.size, always);
  return 'fault' in verified ? `does not hold: ${verified.fault}` : undefined;
}

async function goneFault(head: ClaimedHead, { size, heads }: KnownCheck): Promise<string | undefined> {
  if (head.size > size) return `has seen ${head.size} entries and the log's own covers ${size}: an older copy of the log was restored, or its end is missing`;
  const fault = await heads.faultOf(head);
  return fault && `has seen ${fault}: the log was replaced`;
}

/** A mutation is in the store before its outcome is in the log: of those that are open, any may have been carried out. */
function storeFault(stored: NonNullable<Known['storeGeneration']>, { generation, isWhole, openIntents }: KnownCheck): string | undefined {
  const [before, now] = typeof stored === 'number' ? [stored, stored] : [stored.before, stored.now()];
  const last = generation ?? (isWhole ? 0 : before);
  if (now >= last && before <= last + openIntents) return undefined;
  const value = now < last ? now : before;
  return `the log's last generation is ${last}, and the key store's is ${value}: an older copy of ${value < last ? 'the store' : 'the log'} was restored`;
}

/** The log writes an entry with the next value, and then advances the device (DESIGN §8). */
function valueFault(value: number, { heads, isWhole }: KnownCheck): string | undefined {
  const last = heads.anchorValue();
  if (value === last || value === last - 1 || (last === 0 && !isWhole)) return undefined;
  return value > last
    ? `has the value ${value} and the log's last anchor entry ${last}: an older copy of the log was restored, or its end is missing`
    : `has the value ${value} and the log's last anchor entry ${last}: an older copy of the anchor was restored`;
}
