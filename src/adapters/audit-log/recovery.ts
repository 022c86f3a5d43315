import type { TreeEdge } from '../../core/log/tree-edge.ts';
import type { LogSigner } from '../../ports/log-signer.ts';
import type { SignedHead } from './body.ts';
import type { SealedState } from './ledger-file.ts';
import type { Ledger } from './ledger.ts';
import type { EntryRun, StoredLog } from './storage.ts';
import type { Tail } from './tail.ts';
import { HASH_BYTES, leafHash } from '../../../client/src/log/hash.ts';
import { TILE_WIDTH, splitBundle, tileWidth } from '../../core/log/tiles.ts';
import { createTreeEdge, restoreTreeEdge } from '../../core/log/tree-edge.ts';
import { IntegrityFault, RootMismatch } from './integrity-fault.ts';
import { decodeState } from './ledger-file.ts';
import { createLedger } from './ledger.ts';
import { createReplay } from './replay.ts';
import { appendEntries, createTail } from './tail.ts';
import { verifyNote } from './verify-note.ts';

/** The log as its storage bears it out. */
export interface Recovered {
  readonly edge: TreeEdge;
  readonly tail: Tail;
  readonly ledger: Ledger;
  readonly newest: SignedHead | undefined;
  readonly sealedSize: number | undefined;
  /** What is at odds, in words that name the entry or the file: nothing may be written then, and this is what could be read. */
  readonly fault: string | undefined;
}

/**
 * What the storage holds, checked: the tree as it stood when the log was last sealed, the entries since then, and
 * the newest checkpoint over both. Without a state everything is rebuilt from entry 0. Nothing is written here.
 * Model: the first half of [recover, settle]; the other is in compose/settle-log.
 */
export function recoverLog(stored: StoredLog, signer: LogSigner, minimumIndex: number): Recovered {
  const faults: string[] = [];
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (fault) {
      faults.push(fault instanceof IntegrityFault ? fault.message : `it cannot be read: ${String(fault)}`);
      return undefined;
    }
  };

  const bytes = stored.state();
  const state = bytes && decodeState(bytes, signer.mac);
  const newest = attempt(() => readCheckpoint(stored, signer, state));
  const from = state?.size ?? 0;
  const journalFrom = stored.journalFrom() ?? Math.max(newest?.size ?? 0, from);
  const tail = createTail(bundleStart(Math.max(from, journalFrom)));
  const ledger = state?.ledger ?? createLedger();
  const edge = attempt(() => restoreEdge(stored, state, tail, minimumIndex));

  if (edge !== undefined) attempt(() => {
    const replay = createReplay({ edge, tail, ledger, newest });
    try {
      for (const run of bundleRuns(stored, from, journalFrom)) replay.take(run);
      for (const run of stored.journal()) replay.take(run);
      replay.finish();
    } catch (fault) {
      throw nameTheEntry(stored, tail, fault);
    }
  });
  if (edge?.size() === 0 && stored.tile('entries', 0, 1) !== undefined) faults.push('entry 0: it is missing from the journal, though entry bundles are there');
  return { edge: edge ?? createTreeEdge(), tail, ledger, newest, sealedSize: state?.size, fault: faults[0] };
}

function readCheckpoint(stored: StoredLog, signer: LogSigner, state: SealedState | undefined): SignedHead | undefined {
  const note = stored.checkpoint();
  if (note === undefined) {
    if (state !== undefined) throw new IntegrityFault(`checkpoint: it is missing, though the log was sealed at ${state.size} entries`);
    return undefined;
  }
  const verified = verifyNote(note, signer);
  if ('fault' in verified) throw new IntegrityFault(`checkpoint: ${verified.fault}`);
  const { size, rootHash } = verified;
  if (state !== undefined && size < state.size) throw new IntegrityFault(`checkpoint: it covers ${size} entries, but the log was sealed at ${state.size}: it is an older one`);
  return { note, size, rootHash };
}

/** The tree as it was sealed; the entries of its last, partial bundle go to the tail. */
function restoreEdge(stored: StoredLog, state: SealedState | undefined, tail: Tail, minimumIndex: number): TreeEdge {
  if (state === undefined) {
    if (minimumIndex > 0) throw new IntegrityFault(`state: it is missing or damaged, and the entries below ${minimumIndex} that it stood for are gone`);
    return createTreeEdge();
  }
  const { size, rootHash } = state;
  const edge = restoreTreeEdge(size, (level, index, width) => {
    const bytes = stored.tile(level, index, width);
    if (bytes?.length !== width * HASH_BYTES) throw new IntegrityFault(`tile/${level}: number ${index} is missing or too short`);
    return bytes;
  });
  if (!edge.rootHash().equals(rootHash)) throw new IntegrityFault(`tile: the hashes at the right edge are not those of the log as it was sealed at ${size} entries`);
  for (const { firstIndex, entries } of bundleRuns(stored, tail.firstIndex(), size)) {
    const wrong = entries.findIndex((entry, i) => !isLeaf(stored, firstIndex + i, size, entry));
    if (wrong !== -1) throw new IntegrityFault(`entry ${firstIndex + wrong}: it is not the one in the tree`);
    appendEntries(tail, entries);
  }
  return edge;
}

/** Entries of the bundles, from one index to before another. */
function* bundleRuns(stored: StoredLog, from: number, to: number): Generator<EntryRun> {
  for (let at = from; at < to; at = bundleStart(at) + TILE_WIDTH) {
    const start = bundleStart(at);
    const width = Math.min(TILE_WIDTH, to - start);
    const entries = splitBundle(stored.tile('entries', start / TILE_WIDTH, width) ?? Buffer.alloc(0));
    if (entries?.length !== width) throw new IntegrityFault(`entry ${at}: its bundle is missing or damaged`);
    yield { firstIndex: at, entries: entries.slice(at - start) };
  }
}

/** A root that does not come out says that some entry is wrong; the leaf hashes on the disk say which. */
function nameTheEntry(stored: StoredLog, tail: Tail, fault: unknown): unknown {
  if (!(fault instanceof RootMismatch)) return fault;
  for (let index = tail.firstIndex(); index < fault.size; index++) {
    const entry = tail.entry(index);
    if (entry !== undefined && !isLeaf(stored, index, fault.size, entry)) return new IntegrityFault(`entry ${index}: it is not the one that the checkpoint over ${fault.size} entries covers`);
  }
  return fault;
}

function isLeaf(stored: StoredLog, index: number, size: number, entry: Buffer): boolean {
  const tile = Math.floor(index / TILE_WIDTH);
  const at = (index % TILE_WIDTH) * HASH_BYTES;
  const hashes = stored.tile(0, tile, tileWidth(size, 0, tile));
  return hashes === undefined || hashes.subarray(at, at + HASH_BYTES).equals(leafHash(entry));
}

function bundleStart(index: number): number {
  return index - (index % TILE_WIDTH);
}
