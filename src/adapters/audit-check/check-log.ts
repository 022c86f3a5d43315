import type { VerifierKey } from '../../../client/src/log/vkey.ts';
import type { OwnEntry } from './check-bundle.ts';
import type { Known } from './check-known.ts';
import type { LogTail } from './check-tail.ts';
import type { Faults, LogFault } from './faults.ts';
import type { LogFiles } from './log-files.ts';
import type { LogHead } from './log-head.ts';
import { HASH_BYTES } from '../../../client/src/log/hash.ts';
import { rootOf } from '../../core/log/proofs.ts';
import { TILE_WIDTH, tileWidth } from '../../core/log/tiles.ts';
import { checkBundle } from './check-bundle.ts';
import { checkKnown } from './check-known.ts';
import { verifySigned } from './check-signatures.ts';
import { checkTail } from './check-tail.ts';
import { createEntryOrder } from './entry-order.ts';
import { collectFaults } from './faults.ts';
import { createHeads } from './heads.ts';
import { followKeys } from './key-chain.ts';
import { openLogFiles } from './log-files.ts';
import { goesBeyondItsEnd } from './log-end.ts';
import { readLogHead } from './log-head.ts';
import { checkRanges } from './run-ranges.ts';
import { createUpperTree } from './upper-tree.ts';

export interface LogCheck {
  /** The log's own, `audit.dir`. */
  readonly directory: string;
  /** Where `audit prune` has put what it took out of the log. */
  readonly archive?: string | undefined;
  /** The pinned keys: of the log, and of witnesses that should be looked at. */
  readonly vkeys: readonly VerifierKey[];
  /** Entries below were checked before, and are taken by the hashes of whole stretches of 65,536. */
  readonly fromIndex?: number;
  /** Threads to share the work; 0 does it all on this one. */
  readonly jobs: number;
  readonly known?: Known;
  readonly onProgress?: (doneEntries: number, totalEntries: number) => void;
  readonly signal?: AbortSignal;
}

export interface LogVerdict {
  readonly ok: boolean;
  /** The first ones, where there are many. */
  readonly faults: readonly LogFault[];
  readonly faultCount: number;
  readonly origin: string | undefined;
  /** All entries, those that no checkpoint covers yet too. */
  readonly size: number;
  /** Over all of them; undefined where it cannot be made out. */
  readonly rootHash: Buffer | undefined;
  /** The newest one, if the pinned keys bear it out. */
  readonly checkpoint: { readonly size: number; readonly signedBy: readonly VerifierKey[]; readonly timestampS?: number } | undefined;
  /** Entries below were pruned: their hashes are all there is. */
  readonly minimumIndex: number;
  /** Mutations whose outcome is not in the log yet. */
  readonly openIntents: number;
}

const STRETCH_ENTRIES = TILE_WIDTH ** 2;
const NO_LEAVES = Buffer.alloc(0);

/**
 * The whole check of a log (docs/formats/log.md) with nothing but its files and the pinned keys. The tree is made of
 * the entries and held against every tile and the signed root; what the entries say is held against each other.
 * Memory does not grow with the log, only with its keys.
 */
export async function checkWholeLog(check: LogCheck): Promise<LogVerdict> {
  const files = openLogFiles(check.directory, check.archive);
  const faults = collectFaults();
  const head = readLogHead(files, faults.add);
  if (head === undefined) return { ...verdictOf(faults), origin: undefined, size: 0, rootHash: undefined, checkpoint: undefined, minimumIndex: 0, openIntents: 0 };

  const { checkpoint: { origin, size }, minimumIndex, note } = head;
  const isOlder = goesBeyondItsEnd(files, size);
  const { tail, heads, logKeys, openIntents, generation } = await checkEntries(check, files, head, faults);
  if (isOlder) faults.add({ kind: 'rolled-back', file: 'checkpoint', what: `covers ${size} entries, and the files hold more than the log has: it is an older one` });

  const isWhole = stretchOf(check.fromIndex, size) === 0 && minimumIndex === 0 && !faults.list().some(({ kind }) => LOSES_ENTRIES.has(kind));
  const pinned = check.vkeys.filter(({ name }) => name === origin);
  if (pinned.length === 0) faults.add({ kind: 'instance', file: 'checkpoint', what: `is of ${origin}, and the pinned keys are of ${[...new Set(check.vkeys.map(({ name }) => name))].join(', ')}` });
  const signatures = { chain: followKeys(logKeys, { pinned, origin, isWhole, report: faults.add }), witnesses: check.vkeys.filter(({ name }) => name !== origin) };
  const signed = verifySigned(note, size, signatures);
  if ('fault' in signed) faults.add({ kind: 'checkpoint', file: 'checkpoint', what: signed.fault });
  await checkKnown(check.known ?? {}, { origin, size, heads, signatures, isWhole, openIntents, generation, report: faults.add });

  return {
    ...verdictOf(faults), origin, size: tail.size, rootHash: tail.rootHash, minimumIndex, openIntents,
    checkpoint: 'fault' in signed ? undefined : { size, signedBy: signed.signedBy, ...(signed.timestampS !== undefined && { timestampS: signed.timestampS }) },
  };
}

/** Damage after which an entry that was not found may yet have been there. */
const LOSES_ENTRIES: ReadonlySet<LogFault['kind']> = new Set(['entry', 'missing', 'form']);

async function checkEntries({ directory, archive, jobs, signal, onProgress, fromIndex }: LogCheck, files: LogFiles, head: LogHead, faults: Faults) {
  const { checkpoint: { size, rootHash }, minimumIndex } = head;
  const report = faults.add;
  const fromStretch = stretchOf(fromIndex, size);
  const upper = createUpperTree({ files, size, fromStretch, report });
  const order = createEntryOrder(report, { isFromStart: true });
  const behind: { tail?: LogTail } = {};
  const heads = createHeads(async (at) => (at > size ? behind.tail?.rootAt(at) : rootInTiles(files, at, size)), report);
  const logKeys: OwnEntry[] = [];
  const own = (entry: OwnEntry): void => {
    if (entry.op === 'log-keys') logKeys.push(entry);
    else heads.add(entry);
  };

  const bundles = Math.floor(size / TILE_WIDTH);
  let doneEntries = fromStretch * STRETCH_ENTRIES;
  if (fromStretch > 0) order.skip();
  const ranges = { directory, archive, from: fromStretch * TILE_WIDTH, to: bundles, prunedBelow: minimumIndex / TILE_WIDTH };
  await checkRanges({ ...ranges, jobs, signal }, {
    order, report,
    tell(stretch) {
      upper.add(stretch.index, Buffer.from(stretch.roots));
      for (const entry of stretch.own) own(entry);
      doneEntries += (stretch.roots.length / HASH_BYTES) * TILE_WIDTH;
      onProgress?.(doneEntries, size);
    },
  });

  const check = { files, order, report, own };
  const width = size % TILE_WIDTH;
  const isRight = (leaves: Buffer): boolean => upper.rootWith(leaves).equals(rootHash);
  const leaves = width === 0 ? NO_LEAVES : checkBundle(check, { index: bundles, width, isPruned: false, isRight });
  upper.finish();
  if (leaves === undefined || !isRight(leaves)) report({ kind: 'checkpoint', file: 'checkpoint', what: 'has another root than the tree of the entries' });
  const tail = behind.tail = checkTail(check, head);
  await heads.settled();
  return { tail, heads, logKeys, ...order.finish() };
}

function stretchOf(fromIndex: number | undefined, size: number): number {
  return Math.floor(Math.min(fromIndex ?? 0, size) / STRETCH_ENTRIES);
}

/** By the tiles of the covered tree, which are held against the entries besides: when they are wrong it is said there. */
async function rootInTiles(files: LogFiles, size: number, coveredSize: number): Promise<Buffer | undefined> {
  try {
    return await rootOf(size, async (level, index, width) => files.hashes(level, index, tileWidth(coveredSize, level, index))?.subarray(0, width * HASH_BYTES) ?? NO_LEAVES);
  } catch {
    return undefined;
  }
}

function verdictOf(faults: Faults): Pick<LogVerdict, 'ok' | 'faults' | 'faultCount'> {
  return { ok: faults.count() === 0, faults: faults.list(), faultCount: faults.count() };
}
