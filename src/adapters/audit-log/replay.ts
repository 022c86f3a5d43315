import type { TreeEdge } from '../../core/log/tree-edge.ts';
import type { SignedHead } from './body.ts';
import type { Ledger } from './ledger.ts';
import type { EntryRun } from './storage.ts';
import type { Tail } from './tail.ts';
import { leafHash } from '../../../client/src/log/hash.ts';
import { IntegrityFault, RootMismatch } from './integrity-fault.ts';
import { baseOf } from './ledger.ts';
import { readLoggedEntry } from './logged-entry.ts';
import { appendEntries } from './tail.ts';

/** Takes entries in as they were logged, holding each against the ones before it, and the tree against the checkpoint. */
export interface Replay {
  /** Those below the size of the tree are known already. */
  take(run: EntryRun): void;
  finish(): void;
}

export interface ReplayDeps {
  readonly edge: TreeEdge;
  readonly tail: Tail;
  readonly ledger: Ledger;
  readonly newest: SignedHead | undefined;
}

export function createReplay({ edge, tail, ledger, newest }: ReplayDeps): Replay {
  const holdAgainstCheckpoint = (): void => {
    if (newest?.size === edge.size() && !newest.rootHash.equals(edge.rootHash())) throw new RootMismatch(newest.size);
  };

  const note = (index: number, bytes: Buffer): void => {
    const entry = readLoggedEntry(bytes);
    if (entry === undefined) throw new IntegrityFault(`entry ${index}: it is not an entry`);
    const { ms, kid, keySeq, detail } = entry;
    if (ms < ledger.lastMs()) throw new IntegrityFault(`entry ${index}: its time is before that of the entry in front of it`);
    ledger.setLastMs(ms);
    const expected = kid === undefined ? undefined : ledger.countUp(kid);
    if (keySeq !== expected) throw new IntegrityFault(`entry ${index}: its key_seq is ${keySeq ?? 'missing'}, ${expected === undefined ? 'without a key' : `${expected} is next for ${baseOf(kid ?? '')}`}`);
    const covered = detail?.checkpoint?.size ?? 0;
    if (covered > (newest?.size ?? 0)) throw new IntegrityFault(`checkpoint: ${newest === undefined ? 'it is missing' : `it covers ${newest.size} entries`}, but entry ${index} tells of one over ${covered}`);
    ledger.note(index, entry);
  };

  holdAgainstCheckpoint();
  return {
    take({ firstIndex, entries }) {
      if (firstIndex > edge.size()) throw new IntegrityFault(`entry ${edge.size()}: it is missing, the next one there is ${firstIndex}`);
      const fresh = entries.slice(edge.size() - firstIndex);
      if (edge.size() >= tail.firstIndex()) appendEntries(tail, fresh);
      for (const entry of fresh) {
        const index = edge.size();
        edge.append(leafHash(entry));
        holdAgainstCheckpoint();
        note(index, entry);
      }
      // Below the tail all tiles are on the disk.
      if (edge.size() <= tail.firstIndex()) edge.takeFullTiles();
    },
    finish() {
      if (newest !== undefined && edge.size() < newest.size) throw new IntegrityFault(`entry ${edge.size()}: it is missing, though the checkpoint covers ${newest.size} entries`);
    },
  };
}
