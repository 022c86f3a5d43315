import type { ErrorCode } from '../../src/core/errors.ts';
import type { KeyRecord } from '../../src/core/key/record.ts';
import type { ClientCall } from '../../src/service/call.ts';
import type { Mutation } from '../../src/service/mutate.ts';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { KmsError } from '../../src/core/errors.ts';
import { beginCall } from '../../src/service/call.ts';
import { createWorkQueue } from '../../src/service/work-queue.ts';
import { makeMutate } from '../../src/service/mutate.ts';
import { createOutcomes } from '../../src/service/outcomes.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { callerOf } from '../harness/caller.ts';
import { entriesFrom } from '../harness/entries.ts';

const KEY: KeyRecord = { base: 'core/audit/ed25519/01890000-0000-7000-8000-000000000001', tenant: 'core', purpose: 'audit', alg: 'ed25519', createdAtMs: 0, input: 'b3', labels: {}, versions: [{ version: 1, kid: 'core/audit/ed25519/01890000-0000-7000-8000-000000000001#v1', kidHash: '00000000', createdAtMs: 0, attestationClass: 'none', publicParts: [], state: 'enabled' }] };

const call = (opId = 'op'): ClientCall => ({ ...beginCall({ ...callerOf(), caller: callerOf(), op: 'rotate' as const, opId, startedNs: 0n }), admitted: { tenant: 'core', purpose: 'audit', alg: 'ed25519' } });

async function open({ afterMutation = async () => undefined, requireWritable = () => undefined }: { afterMutation?: () => Promise<void>; requireWritable?: () => void } = {}) {
  const log = await openBreakableLog();
  onTestFinished(() => log.stop());
  const before = log.size();
  const store = createInmemStore();
  const outcomes = createOutcomes({ audit: log });
  const mutate = makeMutate({ store, log: { audit: log, outcomes }, anchoring: { afterMutation }, clock: systemClock, signing: createWorkQueue({ width: 4, rushWidth: 4, max: () => 4, full: {}, clock: systemClock }), requireWritable });
  const entries = () => entriesFrom(log, before);
  return { log, store, mutate, outcomes, entries, results: async () => (await entries()).map(({ result }) => result as string) };
}

const change = (steps: Partial<Mutation<string>> = {}): Mutation<string> => ({
  place: [], body: { op_id: 'op' }, opId: undefined, base: KEY.base,
  authorise: async () => undefined, check: async () => undefined, change: async () => ({ put: () => KEY }), answer: () => 'done', ...steps,
});
const keyOf = (i: number): KeyRecord => ({ ...KEY, base: `${KEY.base.slice(0, -2)}${10 + i}` });
const nothing = async (): Promise<never> => { throw new Error('touched'); };
const failing = (code: ErrorCode) => async (): Promise<never> => { throw new KmsError(code, { hint: 'why' }); };

describe('a mutation', () => {
  test('is an intent before anything changes and an outcome before the answer, both flushed', async () => {
    const { log, mutate, entries, results } = await open();
    let seen: unknown[] = [];
    await mutate(call(), change({ change: async () => { seen = await results(); return { put: () => KEY }; } }));
    expect(seen).toEqual(['intent']);
    expect(await results()).toEqual(['intent', 'ok']);
    expect(log.asked.every(({ mustFlush }) => mustFlush)).toBe(true);
    expect((await entries())[0]).toMatchObject({ tenant: 'core', purpose: 'audit', alg: 'ed25519', op_id: 'op' });
    expect((await entries())[1]).toMatchObject({ generation: 1 });
  });

  test('that fails has its outcome, with the reason', async () => {
    const { mutate, entries, results } = await open();
    const under = call();
    await expect(mutate(under, change({ change: failing('StoreUnavailable') }))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(await results()).toEqual(['intent', 'StoreUnavailable']);
    expect((await entries())[1]).toMatchObject({ reason: 'why' });
    expect(under.isLogged).toBe(true);
  });

  test('that may not be is no intent, and is left to be entered as a refusal', async () => {
    const { mutate, log } = await open();
    const under = call();
    await expect(mutate(under, change({ check: failing('KeyState') }))).rejects.toMatchObject({ code: 'KeyState' });
    expect([log.asked.length, under.isLogged]).toEqual([0, false]);
  });

  test.each(['AuditUnavailable', 'Backpressure'] as const)('whose intent cannot be written (%s) changes nothing', async (code) => {
    const { mutate, log, store } = await open();
    let changes = 0;
    log.breakWith(code);
    await expect(mutate(call(), change({ change: async () => { changes++; return { put: () => KEY }; } }))).rejects.toMatchObject({ code });
    expect([changes, store.generation()]).toEqual([0, 0]);
  });

  test('whose outcome finds the queue full waits for room: it is never said to have failed', async () => {
    const { mutate, log, results } = await open();
    log.breakWith('Backpressure', { only: ({ result }) => result !== 'intent' });
    setTimeout(() => log.breakWith(undefined), 30);
    await expect(mutate(call(), change())).resolves.toBe('done');
    expect(await results()).toEqual(['intent', 'ok']);
  });

  test('whose outcome cannot be written is not answered, and no later entry calls it failed: it is owed, and written when the log is back', async () => {
    const { mutate, log, results, entries, store, outcomes } = await open();
    log.breakWith('AuditUnavailable', { only: ({ result }) => result !== 'intent' });
    const under = call();
    await expect(mutate(under, change())).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(await results()).toEqual(['intent']);
    expect([store.generation(), under.isLogged]).toEqual([1, true]);
    await outcomes.writeOwed();
    expect(await results()).toEqual(['intent']);
    log.breakWith(undefined);
    await outcomes.writeOwed();
    await outcomes.writeOwed();
    expect(await results()).toEqual(['intent', 'ok']);
    expect((await entries())[1]).toMatchObject({ op_id: 'op', generation: 1 });
  });

  test('of many at once has its own generation, and they stand in the log in that order, whatever the log does', async () => {
    const { mutate, log, entries, outcomes } = await open();
    const many = (from: number) => Promise.allSettled(Array.from({ length: 4 }, (_, i) => mutate(call(`op${from + i}`), change({ base: keyOf(from + i).base, change: async () => ({ put: () => keyOf(from + i) }) }))));
    await many(0);
    log.breakWith('AuditUnavailable', { only: ({ result }) => result !== 'intent' });
    expect((await many(4)).map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => 'rejected'));
    log.breakWith('Backpressure', { only: ({ result }) => result !== 'intent' });
    setTimeout(() => log.breakWith(undefined), 30);
    expect((await many(8)).map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => 'fulfilled'));
    await outcomes.writeOwed();
    const done = (await entries()).filter(({ result }) => result === 'ok');
    expect(done.map(({ generation }) => generation as number)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(log.openIntents()).toEqual([]);
  });

  test('whose answer is asked for again while its outcome is owed has the outcome in the log first', async () => {
    const { mutate, log, entries } = await open();
    log.breakWith('AuditUnavailable', { only: ({ result }) => result !== 'intent' });
    const again = () => mutate(call(), change({ opId: 'op' }));
    await expect(again()).rejects.toMatchObject({ code: 'AuditUnavailable' });
    log.breakWith(undefined);
    await expect(again()).resolves.toBe('done');
    expect((await entries()).map(({ result, reason, generation }) => [result, reason, generation])).toEqual([['intent', undefined, undefined], ['ok', undefined, 1], ['ok', 'replay', undefined]]);
  });

  test('is none while something stands against it: nothing is written, nothing touched', async () => {
    const { mutate, log } = await open({ requireWritable: () => { throw new KmsError('StoreUnavailable'); } });
    await expect(mutate(call(), change({ check: nothing, change: nothing }))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(log.asked).toEqual([]);
  });

  test('is answered once the anchor covers it, and not when the anchor cannot be reached', async () => {
    const { mutate, results } = await open({ afterMutation: failing('AuditUnavailable') });
    await expect(mutate(call(), change())).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(await results()).toEqual(['intent', 'ok']);
  });
});
