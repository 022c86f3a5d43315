import type { BackupMade, Backups } from '../../src/ports/backups.ts';
import { expect, test } from 'vitest';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { makeAuthorise } from '../../src/service/authorise.ts';
import { makeBackup } from '../../src/service/backup.ts';
import { createRateLimits } from '../../src/service/rate-limits.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { clientCall } from '../harness/caller.ts';
import { entriesFrom } from '../harness/entries.ts';
import { eventually } from '../harness/poll.ts';
import { telling } from '../harness/telling.ts';

const MADE: BackupMade = { file: 'b.ronbackup', bytes: 7, sha256: 'ab'.repeat(32), generation: 3, records: 2 };

/** A service whose backups are done when the test says so. */
async function open({ hasBackups = true } = {}) {
  const audit = await openBreakableLog();
  const begun: { readonly signal: AbortSignal; readonly done: PromiseWithResolvers<BackupMade> }[] = [];
  const backups: Backups = {
    make(_head, signal) {
      const done = Promise.withResolvers<BackupMade>();
      signal.addEventListener('abort', () => done.reject(signal.reason as Error));
      begun.push({ signal, done });
      return done.promise;
    },
  };
  const { telemetry, told } = telling();
  const authorise = makeAuthorise({ store: createInmemStore(), rates: createRateLimits({ clock: systemClock, signPerSecond: () => 0 }) });
  const backup = makeBackup({ authorise, audit, backups: hasBackups ? backups : undefined, head: () => Promise.reject(new Error('not asked here')), telemetry });
  const start = () => backup.start(clientCall('backup'), {});
  const state = async () => (await backup.state(clientCall('backup').caller)).state;
  const entries = async () => (await entriesFrom(audit)).slice(1).map(({ op, result, reason }) => [op, result, reason]);
  return { audit, backup, begun, told, start, state, entries };
}

test('a backup is an entry before it begins and behind it, with the hash of its file', async () => {
  const { backup, begun, told, start, state, entries } = await open();
  expect(await state()).toBe('none');
  expect(await start()).toMatchObject({ state: 'running', audit: { index: 1 } });
  begun[0]?.done.resolve(MADE);
  await eventually('it is done', 2000, async () => await state() === 'done');
  expect(await backup.state(clientCall('backup').caller)).toEqual({ state: 'done', ...MADE });
  expect(await entries()).toEqual([['backup', 'intent', undefined], ['backup', 'ok', `sha256 ${MADE.sha256}`]]);
  expect(told).toEqual([['info', 'backed_up', { file: MADE.file, generation: 3 }]]);
});

test('a second one is refused while the first is under way, and is no entry of its own', async () => {
  const { begun, start, state, entries } = await open();
  await start();
  await expect(start()).rejects.toMatchObject({ code: 'Conflict' });
  expect([begun.length, await entries()]).toEqual([1, [['backup', 'intent', undefined]]]);
  begun[0]?.done.resolve(MADE);
  await eventually('it is done', 2000, async () => await state() === 'done');
  expect((await start()).state).toBe('running');
});

test('one that fails says why to who asks, and to the log that none was made', async () => {
  const { backup, begun, told, start, state, entries } = await open();
  await start();
  begun[0]?.done.reject(new Error('no space left'));
  await eventually('it has failed', 2000, async () => await state() === 'failed');
  expect(await backup.state(clientCall('backup').caller)).toEqual({ state: 'failed', why: 'no space left' });
  expect((await entries()).at(-1)).toEqual(['backup', 'StoreUnavailable', 'no backup was made']);
  expect(told).toEqual([['error', 'backup_failed', { why: 'no space left' }]]);
});

test('without its entry none begins, and the next may', async () => {
  const { audit, begun, start, state } = await open();
  audit.breakWith('AuditUnavailable');
  await expect(start()).rejects.toMatchObject({ code: 'AuditUnavailable' });
  expect([begun.length, await state()]).toEqual([0, 'none']);
  audit.breakWith(undefined);
  expect((await start()).state).toBe('running');
});

test('a stop cuts off the one that is under way, and waits for it', async () => {
  const { backup, begun, start, state, entries } = await open();
  await start();
  await backup.stop();
  expect([begun[0]?.signal.aborted, await state(), (await entries()).length]).toEqual([true, 'failed', 2]);
});

test('where none can be made, neither begin nor state is answered', async () => {
  const { start, state } = await open({ hasBackups: false });
  for (const asked of [start(), state()]) await expect(asked).rejects.toMatchObject({ code: 'Unsupported' });
});
