import type { LogStorage } from '../../src/adapters/audit-log/storage.ts';
import { expect, onTestFinished, test } from 'vitest';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { createMemoryStorage } from '../../src/adapters/audit-memory/storage.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { eventOf } from '../contract/audit-log.ts';
import { createTestSigner } from '../harness/log-signer.ts';

test('the log counts each entry that it does not take, by the reason, and none that it takes', async () => {
  const refused: Record<string, number> = {};
  const disk = { isFull: false };
  const memory = createMemoryStorage(1 << 20);
  const storage: LogStorage = { ...memory, append(frame) { if (disk.isFull) throw new Error('no space left'); memory.append(frame); } };
  const log = await openLog({
    storage, signer: createTestSigner(), clock: systemClock, random: createSystemRandom(),
    options: { durability: 'disk', checkpointEveryOps: 5000, queueMax: 4 },
    observe: { onRefused: (code, entries) => { refused[code] = (refused[code] ?? 0) + entries; } },
  });
  onTestFinished(() => log.stop());
  const append = (entries: number) => log.append(Array.from({ length: entries }, (_, i) => eventOf(`o${i}`))).then(() => 'ok', ({ code }: { code: string }) => code);

  expect(await Promise.all([append(3), append(2), append(1), append(1)])).toEqual(['ok', 'Backpressure', 'ok', 'Backpressure']);
  expect(refused).toEqual({ Backpressure: 3 });
  disk.isFull = true;
  expect(await Promise.all([append(2), append(1)])).toEqual(['AuditUnavailable', 'AuditUnavailable']);
  expect(await append(1)).toBe('AuditUnavailable');
  expect(refused).toEqual({ Backpressure: 3, AuditUnavailable: 4 });
  log.failIntegrity('something');
  expect(await append(2)).toBe('AuditUnavailable');
  expect(refused).toEqual({ Backpressure: 3, AuditUnavailable: 6 });
  expect(log.size()).toBe(1 + 4);
});
