import type { Anchored } from '../../src/ports/anchor.ts';
import { describe, expect, test } from 'vitest';
import { consistencyProof, rootOf } from '../../src/core/log/proofs.ts';
import { standingOf } from '../../src/service/anchor-standing.ts';
import { createHash } from 'node:crypto';

const leaves = Array.from({ length: 20 }, (_, i) => createHash('sha256').update(Buffer.of(0, i)).digest());
/** The tree of the log in one tile. */
const read = async (_level: number, _index: number, width: number): Promise<Buffer> => Buffer.concat(leaves.slice(0, width));

async function standing(anchored: Anchored | undefined, lastValue: number, size = 20): Promise<string> {
  const newest = { origin: 'log', treeSize: size, rootHash: await rootOf(size, read), note: '', consistencyFrom: (oldSize: number) => consistencyProof(oldSize, size, read) };
  const found = await standingOf(anchored, lastValue, newest);
  return typeof found === 'string' ? found : found.fault;
}

const OLDER_LOG = /an older copy of the log was restored, or its end is missing/;
const OLDER_ANCHOR = /an older copy of the anchor was restored/;

describe('an anchor that has a value', () => {
  test.each([
    [5, 5, /^equal$/], [4, 5, /^behind$/], [0, 0, /^equal$/], [0, 1, /^behind$/],
    [6, 5, OLDER_LOG], [1, 0, OLDER_LOG], [3, 5, OLDER_ANCHOR], [0, 2, OLDER_ANCHOR],
  ] as const)('%i, and the log %i', async (value, lastValue, words) => {
    expect(await standing({ value }, lastValue)).toMatch(words);
  });

  test('none where it has never been advanced, which is good only for a log that is new', async () => {
    expect([await standing(undefined, 0), await standing(undefined, 1)]).toEqual(['equal', 'behind']);
    expect(await standing(undefined, 2)).toBe('the anchor has never been advanced, and the log\'s last anchor entry has the value 2: the anchor was lost or replaced');
  });
});

describe('an anchor that knows the tree', () => {
  test('is held against it: it has to be the beginning of what the log has now', async () => {
    for (const treeSize of [1, 7, 16, 20]) expect(await standing({ value: 5, head: { treeSize, rootHash: await rootOf(treeSize, read) } }, 5)).toBe('equal');
    for (const treeSize of [1, 7, 20]) expect(await standing({ value: 5, head: { treeSize, rootHash: Buffer.alloc(32, 1) } }, 5)).toBe(`the log does not continue the ${treeSize} entries that the anchor has seen: they were replaced by others`);
    expect(await standing({ value: 5, head: { treeSize: 20, rootHash: await rootOf(20, read) } }, 5, 19)).toMatch(OLDER_LOG);
  });

  test('and its value counts besides', async () => {
    expect(await standing({ value: 6, head: { treeSize: 7, rootHash: await rootOf(7, read) } }, 5)).toMatch(OLDER_LOG);
  });
});

describe('an anchor that knows how much it has seen', () => {
  test('is behind while the log has as much or more', async () => {
    expect([await standing({ seenSize: 20 }, 5), await standing({ seenSize: 3 }, 5)]).toEqual(['behind', 'behind']);
    expect(await standing({ seenSize: 0 }, 0)).toBe('equal');
    expect(await standing({ seenSize: 21 }, 5)).toMatch(/has seen 21 entries of this log, its newest checkpoint covers 20: an older copy of the log/);
  });
});

test('what an anchor says is wrong with itself is what is wrong', async () => {
  expect(await standing({ fault: 'the file is damaged' }, 5)).toBe('the file is damaged');
});
