import { expect, test } from 'vitest';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { makeAuthorise } from '../../src/service/authorise.ts';
import { createRateLimits } from '../../src/service/rate-limits.ts';
import { makeRekey } from '../../src/service/rekey.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { clientCall } from '../harness/caller.ts';
import { entriesFrom } from '../harness/entries.ts';
import { eventually } from '../harness/poll.ts';
import { telling } from '../harness/telling.ts';

/** A root key that is moved in so many steps, each of which may fail. */
async function open(rows: number) {
  const audit = await openBreakableLog();
  const moved: string[] = [];
  const faults: { begin?: Error; step?: Error } = {};
  let left = 0;
  let isMoving = false;
  const move = {
    isMoving: () => isMoving,
    async begin() {
      if (faults.begin !== undefined) throw faults.begin;
      [isMoving, left] = [true, rows];
      moved.push('begin');
    },
    async step() {
      if (faults.step !== undefined) throw faults.step;
      left--;
      moved.push(`${left} left`);
      return { left, total: rows };
    },
    async end() {
      isMoving = false;
      moved.push('end');
    },
  };
  const { telemetry, told } = telling();
  const authorise = makeAuthorise({ store: createInmemStore(), rates: createRateLimits({ clock: systemClock, signPerSecond: () => 0 }) });
  const rekey = makeRekey({ authorise, audit, clock: systemClock, move, report: { telemetry, random: createSystemRandom() } });
  const entries = async () => (await entriesFrom(audit)).slice(1).map(({ op, result, actor }) => `${op} ${result} ${actor.via}`);
  return { audit, rekey, moved, faults, told, entries, start: () => rekey.start(clientCall('rekey'), {}), state: () => rekey.state(clientCall('rekey').caller) };
}

test('the old root key goes once nothing is left under it, and the log has beginning and end', async () => {
  const { rekey, moved, told, entries, start, state } = await open(3);
  expect(await start()).toMatchObject({ isMoving: true, audit: { index: 1 } });
  await eventually('it is moved', 2000, async () => !(await state()).isMoving && told.length > 0);
  expect(moved).toEqual(['begin', '2 left', '1 left', '0 left', 'end']);
  expect(await state()).toEqual({ isMoving: false, left: 0, total: 3 });
  expect(await entries()).toEqual(['rekey intent tcp', 'rekey ok tcp', 'rekey ok service']);
  expect(told).toEqual([['info', 'rekeyed', { rows: 3 }]]);
  await rekey.tick();
  expect(moved).toHaveLength(5);
});

test('a root key that cannot be made is refused, and the log says so', async () => {
  const { faults, moved, entries, start } = await open(3);
  faults.begin = new Error('no space left');
  await expect(start()).rejects.toMatchObject({ code: 'Internal' });
  expect([moved, await entries()]).toEqual([[], ['rekey intent tcp', 'rekey Internal tcp']]);
});

test('a step that fails is told, and goes on with the next tick', async () => {
  const { rekey, moved, faults, told, start, state } = await open(2);
  faults.step = new Error('the disk is full');
  await start();
  await eventually('it is told', 2000, () => told.length > 0);
  expect([told, moved]).toEqual([[['error', 'rekey_failed', { why: 'the disk is full' }]], ['begin']]);
  delete faults.step;
  await rekey.tick();
  await eventually('it is moved', 2000, async () => !(await state()).isMoving);
  expect(moved).toEqual(['begin', '1 left', '0 left', 'end']);
});

test('no step begins behind a stop, nor while the log takes nothing', async () => {
  const { audit, rekey, moved, faults, told, start } = await open(2);
  faults.step = new Error('not yet');
  await start();
  await eventually('it is told', 2000, () => told.length > 0);
  delete faults.step;
  audit.breakWith('AuditUnavailable', { isKnown: true });
  await rekey.tick();
  expect(moved).toEqual(['begin']);
  audit.breakWith(undefined);
  await rekey.stop();
  await rekey.tick();
  expect(moved).toEqual(['begin']);
});
