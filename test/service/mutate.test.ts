import type { ErrorCode } from '../../src/core/errors.ts';
import type { KeyRecord } from '../../src/core/key/record.ts';
import type { ClientCall } from '../../src/service/call.ts';
import type { Mutation } from '../../src/service/mutate.ts';
import { describe, expect, test } from 'vitest';
import { createMemoryLog } from '../../src/adapters/audit-memory/log.ts';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { KmsError } from '../../src/core/errors.ts';
import { createInFlight } from '../../src/service/in-flight.ts';
import { makeMutate } from '../../src/service/mutate.ts';
import { createOutcomes } from '../../src/service/outcomes.ts';
import { breakable } from '../harness/breakable-log.ts';
import { callerOf } from '../harness/caller.ts';

const KEY: KeyRecord = { base: 'core/audit/ed25519/01890000-0000-7000-8000-000000000001', tenant: 'core', purpose: 'audit', alg: 'ed25519', createdAtMs: 0, input: 'b3', labels: {}, versions: [{ version: 1, kid: 'core/audit/ed25519/01890000-0000-7000-8000-000000000001#v1', kidHash: '00000000', createdAtMs: 0, attestationClass: 'none', publicParts: [], state: 'enabled' }] };

const call = (opId = 'op'): ClientCall => ({ ...callerOf(), caller: callerOf(), op: 'rotate', opId, startedNs: 0n, admitted: { tenant: 'core', purpose: 'audit', alg: 'ed25519' }, subject: undefined, isLogged: false });

function open(afterMutation: () => Promise<void> = async () => undefined) {
  const log = breakable(createMemoryLog({ clock: systemClock, random: createSystemRandom(), keptMaxBytes: 1 << 20 }));
  const store = createInmemStore();
  const outcomes = createOutcomes({ audit: log });
  const mutate = makeMutate({ store, log: { audit: log, outcomes }, anchoring: { afterMutation }, clock: systemClock, signing: createInFlight(4, 'busy') });
  const entries = () => Array.from({ length: log.size() }, (_, i) => JSON.parse(log.entry(i) ?? '{}') as Record<string, unknown>);
  return { log, store, mutate, outcomes, entries, results: () => entries().map(({ result }) => result) };
}

const change = (steps: Partial<Mutation<string>> = {}): Mutation<string> => ({
  place: [], body: { op_id: 'op' }, opId: undefined, base: KEY.base,
  authorise: async () => undefined, check: async () => undefined, change: async () => ({ key: KEY }), answer: () => 'done', ...steps,
});
const failing = (code: ErrorCode) => async (): Promise<never> => { throw new KmsError(code, { hint: 'why' }); };

describe('a mutation', () => {
  test('is an intent before anything changes and an outcome before the answer, both flushed', async () => {
    const { log, mutate, entries, results } = open();
    let seen: unknown[] = [];
    await mutate(call(), change({ change: async () => { seen = results(); return { key: KEY }; } }));
    expect(seen).toEqual(['intent']);
    expect(results()).toEqual(['intent', 'ok']);
    expect(log.asked.every(({ mustFlush }) => mustFlush)).toBe(true);
    expect(entries()[0]).toMatchObject({ tenant: 'core', purpose: 'audit', alg: 'ed25519', op_id: 'op' });
    expect(entries()[1]).toMatchObject({ generation: 1 });
  });

  test('that fails has its outcome, with the reason', async () => {
    const { mutate, entries, results } = open();
    const under = call();
    await expect(mutate(under, change({ change: failing('StoreUnavailable') }))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(results()).toEqual(['intent', 'StoreUnavailable']);
    expect(entries()[1]).toMatchObject({ reason: 'why' });
    expect(under.isLogged).toBe(true);
  });

  test('that may not be is no intent, and is left to be entered as a refusal', async () => {
    const { mutate, log } = open();
    const under = call();
    await expect(mutate(under, change({ check: failing('KeyState') }))).rejects.toMatchObject({ code: 'KeyState' });
    expect([log.size(), under.isLogged]).toEqual([0, false]);
  });

  test.each(['AuditUnavailable', 'Backpressure'] as const)('whose intent cannot be written (%s) changes nothing', async (code) => {
    const { mutate, log, store } = open();
    let changes = 0;
    log.breakWith(code);
    await expect(mutate(call(), change({ change: async () => { changes++; return { key: KEY }; } }))).rejects.toMatchObject({ code });
    expect([changes, store.generation()]).toEqual([0, 0]);
  });

  test('whose outcome finds the queue full waits for room: it is never said to have failed', async () => {
    const { mutate, log, results } = open();
    log.breakWith('Backpressure', { only: ({ result }) => result !== 'intent' });
    setTimeout(() => log.breakWith(undefined), 30);
    await expect(mutate(call(), change())).resolves.toBe('done');
    expect(results()).toEqual(['intent', 'ok']);
  });

  test('whose outcome cannot be written is not answered, and no later entry calls it failed: it is owed, and written when the log is back', async () => {
    const { mutate, log, results, entries, store, outcomes } = open();
    log.breakWith('AuditUnavailable', { only: ({ result }) => result !== 'intent' });
    const under = call();
    await expect(mutate(under, change())).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(results()).toEqual(['intent']);
    expect([store.generation(), under.isLogged]).toEqual([1, true]);
    await outcomes.writeOwed();
    expect(results()).toEqual(['intent']);
    log.breakWith(undefined);
    await outcomes.writeOwed();
    await outcomes.writeOwed();
    expect(results()).toEqual(['intent', 'ok']);
    expect(entries()[1]).toMatchObject({ op_id: 'op', generation: 1 });
  });

  test('is answered once the anchor covers it, and not when the anchor cannot be reached', async () => {
    const { mutate, results } = open(failing('AuditUnavailable'));
    await expect(mutate(call(), change())).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(results()).toEqual(['intent', 'ok']);
  });
});
