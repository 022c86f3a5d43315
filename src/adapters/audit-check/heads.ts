import type { OwnEntry } from './check-bundle.ts';
import type { LogFault } from './faults.ts';
import { HASH_BYTES } from '../../../client/src/log/hash.ts';

/** A tree head that somebody says this log had. */
export interface ClaimedHead {
  readonly size: number;
  readonly rootHash: Buffer;
}

/** Holds what is said of earlier heads against the tree: entries at every start and every anchoring, anchors, saved checkpoints. */
export interface Heads {
  /** Takes in what an entry says; they may come in any order. */
  add(entry: OwnEntry): void;
  /** What is wrong with a head; undefined when the tree had it. */
  faultOf(head: ClaimedHead): Promise<string | undefined>;
  /** Once all of them are checked. */
  settled(): Promise<void>;
  /** The last one that an entry names. */
  anchorValue(): number;
}

/** The root that the tree had at this size; undefined when it cannot be made out, as it never was so large or tiles are missing. */
export type RootAt = (size: number) => Promise<Buffer | undefined>;

export function createHeads(rootAt: RootAt, report: (fault: LogFault) => void): Heads {
  let turn: Promise<void> = Promise.resolve();
  let lastAnchor = { index: -1, value: 0 };

  const faultOf = async ({ size, rootHash }: ClaimedHead): Promise<string | undefined> => {
    const root = await rootAt(size);
    if (root?.equals(rootHash) === true) return undefined;
    return root === undefined ? `a head of ${size} entries, which cannot be made out` : `another root over the first ${size} entries`;
  };

  const check = async ({ index, op, detail }: OwnEntry): Promise<void> => {
    const head = headIn(detail);
    if (op === 'anchor' && head?.value !== undefined && index > lastAnchor.index) lastAnchor = { index, value: head.value };
    if (head === undefined) report({ kind: 'form', index, what: `is an entry of ${op} and names no head` });
    else if (head.size > index) report({ kind: 'checkpoint', index, what: `names a head of ${head.size} entries, and does not stand behind them` });
    else {
      const fault = await faultOf(head);
      if (fault !== undefined) report({ kind: 'checkpoint', index, what: `names ${fault}` });
    }
  };

  return {
    add(entry) {
      turn = turn.then(() => check(entry));
    },
    faultOf,
    settled: () => turn,
    anchorValue: () => lastAnchor.value,
  };
}

function headIn({ checkpoint, anchor }: OwnEntry['detail']): (ClaimedHead & { readonly value: number | undefined }) | undefined {
  const size = checkpoint?.size ?? anchor?.tree_size;
  const root = checkpoint?.root_hash ?? anchor?.root_hash;
  const rootHash = Buffer.from(typeof root === 'string' ? root : '', 'base64');
  if (!Number.isSafeInteger(size) || size === undefined || rootHash.length !== HASH_BYTES) return undefined;
  return { size, rootHash, value: anchor?.value };
}
