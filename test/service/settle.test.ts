import { describe, expect, onTestFinished, test } from 'vitest';
import type { OpenIntent } from '../../src/service/settle.ts';
import { settleIntents, settlementsOf } from '../../src/service/settle.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { entriesFrom } from '../harness/entries.ts';

const KEY = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';
const KID = `${KEY}#v1`;
const intentOf = (index: number, opId = String.fromCodePoint(97 + index)): OpenIntent => ({
  index,
  event: {
    op: 'rotate', op_id: opId, corr_id: 'c', tenant: 'core', kid: KID, alg: 'ed25519', purpose: 'audit', input_hash: '00'.repeat(32),
    actor: { client_id: 'me', root_key_id: 'root', token_id: 't', via: 'tcp' },
  },
});
const open = (...indices: readonly number[]): readonly OpenIntent[] => indices.map((index) => intentOf(index));
/** Generations above the log's, each with its intent. */
const intents = (first: number, ...indices: readonly (number | undefined)[]) => new Map(indices.map((index, i) => [first + i, { intent: index, kid: `${KEY}#v${i + 2}` }]));

async function settled(openIntents: readonly OpenIntent[], done: readonly number[]) {
  const log = await openBreakableLog();
  onTestFinished(() => log.stop());
  const before = log.size();
  const settlements = settlementsOf(openIntents, { logged: 5, stored: 5 + done.length, changes: intents(6, ...done) });
  await settleIntents(log, settlements ?? []);
  return { log, entries: await entriesFrom(log, before) };
}

describe('the store, held against the log', () => {
  test.each([
    ['the same, nothing open', open(), 5, intents(6), []],
    ['the same, with an intent that never came to anything', open(3), 5, intents(6), [[3, undefined]]],
    ['one ahead, with an open intent', open(3), 6, intents(6, 3), [[3, 6]]],
    ['one ahead, by the second of two open', open(3, 4), 6, intents(6, 4), [[4, 6], [3, undefined]]],
    ['both of two, done in the other order', open(3, 4), 7, intents(6, 4, 3), [[4, 6], [3, 7]]],
  ] as const)('%s: each intent has its outcome', (_what, openIntents, stored, done, outcomes) => {
    expect(settlementsOf(openIntents, { logged: 5, stored, changes: done })?.map(({ intent, generation }) => [intent.index, generation])).toEqual(outcomes);
  });

  test.each([
    ['behind: an older store was put back', open(), 4, intents(6)],
    ['behind, with an open intent', open(3), 4, intents(6)],
    ['ahead of a log that knows of nothing: the log was cut', open(), 6, intents(6, 3)],
    ['ahead by an intent that is not open', open(3), 6, intents(6, 2)],
    ['ahead by one intent twice', open(3), 7, intents(6, 3, 3)],
    ['ahead by a mutation that names no intent', open(3), 6, intents(6, undefined)],
  ] as const)('%s: at odds', (_what, openIntents, stored, done) => {
    expect(settlementsOf(openIntents, { logged: 5, stored, changes: done })).toBeUndefined();
  });
});

describe('an intent that a crash left open', () => {
  test('that the store knows nothing of is entered as failed, under its own ids and key', async () => {
    const { log, entries: [entry] } = await settled(open(0), []);
    expect(entry).toMatchObject({ ...intentOf(0).event, result: 'Internal', reason: 'settled at start', key_seq: 1 });
    expect(entry).not.toHaveProperty('generation');
    expect(log.asked).toMatchObject([{ mustFlush: true }]);
  });

  test('that the store has carried out is entered as done, with the generation that it made', async () => {
    const { entries } = await settled(open(0, 1), [1, 0]);
    expect(entries.map(({ op_id, result, generation }) => [op_id, result, generation])).toEqual([['b', 'ok', 6], ['a', 'ok', 7]]);
  });

  test('that the store has carried out names the version that it made, which the intent could not; a change names the one that it was about', async () => {
    const made = await settled([intentOf(0)], [0]);
    expect(made.entries).toMatchObject([{ op: 'rotate', kid: `${KEY}#v2` }]);
    const { event } = intentOf(0);
    const changed = await settled([{ index: 0, event: { ...event, op: 'disable' } }], [0]);
    expect(changed.entries).toMatchObject([{ op: 'disable', kid: KID }]);
  });

  test('among several of which one is done: each is told apart', async () => {
    const { entries } = await settled(open(0, 1), [1]);
    expect(entries.map(({ op_id, result, generation }) => [op_id, result, generation])).toEqual([['b', 'ok', 6], ['a', 'Internal', undefined]]);
  });

  test('nothing open, nothing written', async () => {
    expect((await settled([], [])).log.asked).toEqual([]);
  });
});
