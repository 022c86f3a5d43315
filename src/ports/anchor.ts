/** The log as it stood at a checkpoint. */
export interface AnchoredHead {
  readonly treeSize: number;
  readonly rootHash: Buffer;
}

/** What an anchor remembers of the log, out of reach of whoever can restore the disk. */
export type Anchored =
  /** A device that counts, up by one with each advance; with the log as it stood, where the medium can hold it. */
  | { readonly value: number; readonly head?: AnchoredHead }
  /**
   * A witness does not count. Having seen anything of this log it stands for the last anchor entry's value less
   * one: it is to be advanced, and then compares itself, by the consistency proof, what a counter's value and head
   * would tell. Entries it has seen that the log has not are the fault that a value ahead of the log is.
   */
  | { readonly seenSize: number }
  /** What it holds is nothing this log can have left there; says what, in words for the operator. */
  | { readonly fault: string };

/** The newest checkpoint, and what a witness needs to see that the log only grew. */
export interface AnchorProof extends AnchoredHead {
  /** Also the name of the log's keys. */
  readonly origin: string;
  /** The signed note over this head. */
  readonly note: string;
  /** RFC 6962 consistency proof from an older size; empty from 0 and from this size. */
  consistencyFrom(oldSize: number): Promise<readonly Buffer[]>;
}

/**
 * A monotonic value on another medium (DESIGN §8). The log flushes an entry with value n+1, then advances the
 * anchor to it: after a crash the anchor equals the last entry's value, or is one less.
 *
 * Both calls throw `AuditUnavailable` when it cannot be reached, does not answer in time, or gives an answer that
 * proves nothing. What it says against the log is no exception but a `fault`.
 */
export interface Anchor {
  readonly kind: 'file' | 'witness' | 'tpm' | 'pkcs11';
  /** Changes nothing. Undefined when it was never advanced for this log. The newest checkpoint is for those that answer only to one. */
  read(newest: AnchorProof): Promise<Anchored | undefined>;
  /** Durable when it returns; never goes back. Gives signature lines to add to the checkpoint, where it makes some. */
  advance(value: number, proof: AnchorProof): Promise<{ readonly cosignatures?: string } | { readonly fault: string }>;
}
