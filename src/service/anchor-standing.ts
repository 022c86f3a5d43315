import type { Anchored, AnchoredHead, AnchorProof } from '../ports/anchor.ts';
import { verifyConsistency } from '../../client/src/log/merkle.ts';

/** How the anchor stands to the log: as far as its last anchor entry, one behind it, or nowhere it can be. */
export type Standing = 'equal' | 'behind' | { readonly fault: string };

/**
 * The log writes an anchor entry, then advances the device: the device has the value of the last entry or, when
 * a crash fell between, one less. Whatever else it has, one of the two is not what it was.
 */
export async function standingOf(anchored: Anchored | undefined, lastValue: number, newest: AnchorProof): Promise<Standing> {
  if (anchored !== undefined && 'fault' in anchored) return anchored;
  if (anchored !== undefined && 'seenSize' in anchored) {
    const fault = faultOfSize(anchored.seenSize, newest);
    return fault === undefined ? standingOfValue(Math.max(0, lastValue - 1), lastValue) : { fault };
  }
  const fault = anchored?.head && (await faultOfHead(anchored.head, newest));
  return fault === undefined ? standingOfValue(anchored?.value, lastValue) : { fault };
}

function standingOfValue(value: number | undefined, lastValue: number): Standing {
  const reached = value ?? 0;
  if (reached === lastValue) return 'equal';
  if (reached === lastValue - 1) return 'behind';
  if (value === undefined) return { fault: `the anchor has never been advanced, and the log's last anchor entry has the value ${lastValue}: the anchor was lost or replaced` };
  return value > lastValue
    ? { fault: `the anchor has the value ${value}, the log's last anchor entry ${lastValue}: an older copy of the log was restored, or its end is missing` }
    : { fault: `the anchor has the value ${value}, the log's last anchor entry ${lastValue}: an older copy of the anchor was restored` };
}

/** A checkpoint is flushed before an anchor hears of it, so no anchor has seen more than the newest one covers. */
function faultOfSize(seenSize: number, { treeSize }: AnchorProof): string | undefined {
  if (seenSize <= treeSize) return undefined;
  return `the anchor has seen ${seenSize} entries of this log, its newest checkpoint covers ${treeSize}: an older copy of the log was restored, or its end is missing`;
}

async function faultOfHead({ treeSize, rootHash }: AnchoredHead, newest: AnchorProof): Promise<string | undefined> {
  const fault = faultOfSize(treeSize, newest);
  if (fault !== undefined) return fault;
  const proof = await newest.consistencyFrom(treeSize);
  const isContinued = verifyConsistency({ oldSize: treeSize, oldRoot: rootHash, newSize: newest.treeSize, newRoot: newest.rootHash, proof: [...proof] });
  return isContinued ? undefined : `the log does not continue the ${treeSize} entries that the anchor has seen: they were replaced by others`;
}
