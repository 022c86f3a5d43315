import type { KeyStore } from '../../src/ports/key-store.ts';
import type { Subject } from '../../src/service/call.ts';
import { expect, test } from 'vitest';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
import { createOutcomes } from '../../src/service/outcomes.ts';
import { makeReserveNonces } from '../../src/service/reserve-nonces.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { entriesFrom } from '../harness/entries.ts';
import { keyOf } from '../harness/stored-keys.ts';

const key = { ...keyOf(1)(1), alg: 'aes-256-gcm' as const };
const [version] = key.versions;

async function open() {
  const audit = await openBreakableLog();
  const reserved: unknown[] = [];
  const is: { fault?: Error; anchored: number } = { anchored: 0 };
  const reserveNonces: KeyStore['reserveNonces'] = async (...asked) => {
    if (is.fault !== undefined) throw is.fault;
    return reserved.push(asked) + 40;
  };
  const reserve = makeReserveNonces({
    store: { ...createInmemStore(), reserveNonces }, log: { audit, outcomes: createOutcomes({ audit }) }, anchoring: { afterMutation: async () => { is.anchored++; } },
    clock: systemClock, random: createSystemRandom(),
  });
  const subject: Subject = { key, version: version ?? expect.unreachable(), spec: specOf('aes-256-gcm', undefined) };
  const entries = async () => (await entriesFrom(audit)).slice(1).map(({ op, kid, result, reason, generation, actor }) => ({ op, kid, result, reason, generation, via: actor.via }));
  return { audit, reserved, is, entries, reserve: (asked?: bigint) => reserve(subject, asked) };
}

const own = { op: 'wrap', kid: version?.kid, reason: 'nonces reserved', via: 'service' };

test('nonces that are set aside are in the log before the store has them, and behind it with the generation that they made', async () => {
  const { reserved, is, entries, reserve } = await open();
  await reserve(9n);
  expect(await entries()).toEqual([{ ...own, result: 'intent' }, { ...own, result: 'ok', generation: 41 }]);
  expect([reserved, is.anchored]).toEqual([[[version?.kid, 9n, 1]], 1]);
});

test('who asks at once waits for the one that is under way; who asks later has another', async () => {
  const { reserved, entries, reserve } = await open();
  await Promise.all([reserve(), reserve(), reserve()]);
  expect([reserved.length, (await entries()).length]).toEqual([1, 2]);
  await reserve();
  expect(reserved).toHaveLength(2);
});

test('a store that cannot is in the log as that, and asked again by the next', async () => {
  const { reserved, is, entries, reserve } = await open();
  is.fault = new Error('no space left');
  await expect(reserve()).rejects.toMatchObject({ code: 'Internal' });
  expect((await entries()).map(({ result }) => result)).toEqual(['intent', 'Internal']);
  delete is.fault;
  await reserve();
  expect([reserved.length, is.anchored]).toEqual([1, 1]);
});

test('without its entry nothing is set aside', async () => {
  const { audit, reserved, reserve } = await open();
  audit.breakWith('AuditUnavailable');
  await expect(reserve()).rejects.toMatchObject({ code: 'AuditUnavailable' });
  expect(reserved).toEqual([]);
});
