import type { RefusedCall } from '../../src/service/refusals.ts';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { KmsError } from '../../src/core/errors.ts';
import { createRefusals, noInput, refusedCallOf } from '../../src/service/refusals.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { callerOf } from '../harness/caller.ts';
import { entriesFrom } from '../harness/entries.ts';

async function open() {
  let ns = 5_000_000_000n;
  const clock = { wallMs: () => 1_700_000_000_000 + Number(ns / 1_000_000n), monotonicNs: () => ns };
  const random = createSystemRandom();
  const log = await openBreakableLog({ clock });
  onTestFinished(() => log.stop());
  const before = log.size();
  const events: string[] = [];
  const telemetry = { operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined, event: (_level: string, event: string) => { events.push(event); } };
  const refusals = createRefusals({ audit: log, clock, random, telemetry });
  return {
    log, refusals, events,
    pass: (ms: number) => { ns += BigInt(ms) * 1_000_000n; },
    size: () => log.size() - before,
    entries: () => entriesFrom(log, before),
  };
}

const stranger: RefusedCall = refusedCallOf({ actor: { via: 'tcp', peer: '10.0.0.1' }, corrId: 'r1', requestId: 'r1' }, 'sign');
const known = (caller: Partial<Parameters<typeof callerOf>[0]> = {}): RefusedCall => ({ ...refusedCallOf(callerOf(caller), 'sign'), opId: 'mine' });
const denied = (hint = 'the token lacks the scope for this call'): KmsError => new KmsError('NoCapability', { hint });

describe('refusals of one second', () => {
  test('the first is an entry before it leaves; the rest are one entry that counts them', async () => {
    const { refusals, entries, pass } = await open();
    await refusals.record(denied(), known(), noInput);
    expect(await entries()).toHaveLength(1);
    expect((await entries())[0]).toMatchObject({ op: 'sign', op_id: 'mine', result: 'NoCapability', reason: 'the token lacks the scope for this call', tenant: 'core', actor: { client_id: 'me', root_key_id: 'root', token_id: 't1', via: 'tcp' } });
    expect((await entries())[0]).not.toHaveProperty('refusals');
    for (let i = 0; i < 999; i++) expect(refusals.record(denied(), known(), noInput)).toBeUndefined();
    await refusals.sweep();
    expect(await entries()).toHaveLength(1);
    pass(1001);
    await refusals.sweep();
    expect(await entries()).toHaveLength(2);
    expect((await entries())[1]).toMatchObject({ op: 'refusals', result: 'NoCapability', tenant: 'core', actor: { client_id: 'me', root_key_id: 'root', via: 'service' }, refusals: { code: 'NoCapability', count: 999, since: (await entries())[0]?.['ts'] } });
    expect((await entries())[1]?.['actor']).not.toHaveProperty('token_id');
    await refusals.sweep();
    expect(await entries()).toHaveLength(2);
  });

  test('are told apart by code, reason, tenant, client and root key, and by nothing else', async () => {
    const { refusals, entries } = await open();
    const kinds: [KmsError, RefusedCall][] = [
      [denied(), known()], [denied('another'), known()], [new KmsError('NotFound'), known()], [denied(), known({ caveats: { tenants: ['other'] } })],
      [denied(), known({ clientId: 'you' })], [denied(), known({ rootKeyId: 'root2' })], [denied(), stranger],
    ];
    for (const [refusal, call] of kinds) await refusals.record(refusal, call, noInput);
    expect(await entries()).toHaveLength(kinds.length);
    await refusals.record(denied(), known({ tokenId: 't2', peer: '10.9.9.9', corrId: 'another' }), noInput);
    await refusals.record(denied(), { ...known(), op: 'wrap', opId: 'x' }, noInput);
    await refusals.record(denied(), known({ caveats: { tenants: ['core', 'core'] } }), noInput);
    expect(await entries()).toHaveLength(kinds.length);
  });

  test('the next one opens a new second, and what was counted before is written', async () => {
    const { refusals, entries, pass } = await open();
    for (let i = 0; i < 3; i++) await refusals.record(denied(), known(), noInput);
    pass(1000);
    await refusals.record(denied(), known(), noInput);
    await refusals.sweep();
    expect((await entries()).map(({ op, refusals: folded }) => [op, folded?.count])).toEqual([['sign', undefined], ['sign', undefined], ['refusals', 2]]);
  });

  test('what is counted when the service ends is written too', async () => {
    const { refusals, entries } = await open();
    for (let i = 0; i < 3; i++) await refusals.record(denied(), known(), noInput);
    await refusals.flush();
    expect((await entries()).map(({ op }) => op)).toEqual(['sign', 'refusals']);
  });
});

describe('what nobody vouched for', () => {
  test('is never written: no client, no token, no tenant, no id of its own', async () => {
    const { refusals, entries } = await open();
    await refusals.record(new KmsError('NoCapability', { status: 401, hint: 'the token cannot be decoded' }), stranger, noInput);
    expect((await entries())[0]).toMatchObject({ op: 'sign', op_id: 'r1', corr_id: 'r1', actor: { via: 'tcp', peer: '10.0.0.1' } });
    expect(Object.keys((await entries())[0]?.['actor'])).toEqual(['peer', 'via']);
    expect((await entries())[0]).not.toHaveProperty('tenant');
  });

  test('a path that no operation has is an entry of its own kind', async () => {
    const { refusals, entries } = await open();
    await refusals.record(new KmsError('NotFound'), refusedCallOf({ actor: { via: 'tcp', peer: '::1' }, corrId: 'r', requestId: 'r' }, undefined), noInput);
    expect((await entries())[0]).toMatchObject({ op: 'refusals', result: 'NotFound', refusals: { code: 'NotFound', count: 1 } });
  });

  test('a token that names two tenants, and so none, has no tenant in the log', async () => {
    const { refusals, entries } = await open();
    await refusals.record(denied(), known({ caveats: { tenants: ['core', 'victim'] } }), noInput);
    expect((await entries())[0]).not.toHaveProperty('tenant');
  });
});

describe('a flood', () => {
  test('of strangers writes two entries a second, however many peers it comes from', async () => {
    const { refusals, size, pass } = await open();
    for (let second = 0; second < 5; second++) {
      for (let i = 0; i < 20_000; i++) await refusals.record(denied(), { ...stranger, actor: { via: 'tcp', peer: `10.0.${i >> 8}.${i & 255}` }, corrId: `c${i}`, opId: `o${i}` }, noInput);
      pass(1000);
      await refusals.sweep();
    }
    expect(size()).toBe(10);
  });

  test('of callers that are all different ends in counts by code alone, and no entry is lost from them', async () => {
    const { refusals, size, entries } = await open();
    for (let i = 0; i < 5000; i++) await refusals.record(denied(), known({ clientId: `c${i}` }), noInput);
    expect(size()).toBe(1024);
    await refusals.flush();
    expect(size()).toBe(1025);
    expect((await entries()).at(-1)).toMatchObject({ op: 'refusals', result: 'NoCapability', reason: 'others', actor: { via: 'service' }, refusals: { count: 5000 - 1024 } });
    expect((await entries()).at(-1)?.['actor']).not.toHaveProperty('client_id');
    await refusals.record(denied(), known({ clientId: 'c1' }), noInput);
    expect(size()).toBe(1026);
  });

  test('its counts come to the log in small groups', async () => {
    const { refusals, log, pass } = await open();
    for (let round = 0; round < 2; round++) for (let i = 0; i < 1000; i++) await refusals.record(denied(), known({ clientId: `c${i}` }), noInput);
    const before = log.asked.length;
    pass(1000);
    await refusals.sweep();
    expect(log.asked.slice(before).map(({ events }) => events.length)).toEqual([...Array.from({ length: 7 }, () => 128), 104]);
  });
});

describe('a log that takes nothing', () => {
  test.each(['AuditUnavailable', 'Backpressure'] as const)('%s: the refusal leaves all the same, and the service says that it was not written', async (code) => {
    const { refusals, log, events, entries, pass } = await open();
    log.breakWith(code);
    await refusals.record(denied(), known(), noInput);
    await refusals.record(denied(), known(), noInput);
    await refusals.flush();
    expect(events).toEqual(['refusals_not_logged', 'refusals_not_logged']);
    expect(log.asked).toHaveLength(2);
    log.breakWith(undefined);
    pass(1000);
    await refusals.record(denied(), known(), noInput);
    expect(await entries()).toHaveLength(1);
  });
});
