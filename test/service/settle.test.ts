import { describe, expect, onTestFinished, test } from 'vitest';
import { checkGeneration, settleIntents } from '../../src/service/settle.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { entriesFrom } from '../harness/entries.ts';

const KID = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001#v1';
const intentOf = (opId: string) => ({
  event: {
    op: 'rotate' as const, op_id: opId, corr_id: 'c', tenant: 'core', kid: KID, alg: 'ed25519', purpose: 'audit', input_hash: '00'.repeat(32),
    actor: { client_id: 'me', root_key_id: 'root', token_id: 't', via: 'tcp' },
  },
});

async function settled(openIntents: readonly ReturnType<typeof intentOf>[], done: number) {
  const log = await openBreakableLog();
  onTestFinished(() => log.stop());
  const before = log.size();
  await settleIntents({ audit: log, store: { generation: () => 9 } }, openIntents, done);
  return { log, entries: await entriesFrom(log, before) };
}

describe('the generation of the store, held against the log', () => {
  test.each([
    ['the same, nothing open', 5, 5, 0, 0], ['the same, with an intent that never came to anything', 5, 5, 1, 0], ['one ahead, with an open intent', 5, 6, 1, 1],
    ['one ahead, two open', 5, 6, 2, 1], ['both of two', 5, 7, 2, 2],
    ['behind: an older store was put back', 5, 4, 0, undefined], ['behind, with an open intent', 5, 4, 1, undefined],
    ['ahead of a log that knows of nothing: the log was cut', 5, 6, 0, undefined], ['further ahead than intents are open', 5, 8, 2, undefined],
  ] as const)('%s', (_what, logged, stored, open, ahead) => {
    expect(checkGeneration(logged, stored, open)).toBe(ahead);
  });
});

describe('an intent that a crash left open', () => {
  test('that the store knows nothing of is entered as failed, under its own ids and key', async () => {
    const { log, entries: [entry] } = await settled([intentOf('a')], 0);
    expect(entry).toMatchObject({ ...intentOf('a').event, result: 'Internal', reason: 'settled at start', generation: 9, key_seq: 1 });
    expect(log.asked).toMatchObject([{ mustFlush: true }]);
  });

  test('that the store has carried out is entered as done', async () => {
    const { entries } = await settled([intentOf('a'), intentOf('b')], 2);
    expect(entries.map(({ op_id, result, generation }) => [op_id, result, generation])).toEqual([['a', 'ok', 9], ['b', 'ok', 9]]);
  });

  test('among several of which some are done is not said to be done, nor said not to be', async () => {
    const { entries } = await settled([intentOf('a'), intentOf('b')], 1);
    expect(entries.map(({ result, reason }) => [result, reason])).toEqual(Array.from({ length: 2 }, () => ['Internal', 'settled at start; it may have been done']));
  });

  test('nothing open, nothing written', async () => {
    expect((await settled([], 0)).log.asked).toEqual([]);
  });
});
