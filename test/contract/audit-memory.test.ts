import { describe, expect, test } from 'vitest';
import { createMemoryLog } from '../../src/adapters/audit-memory/log.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { auditLogContract, eventOf } from './audit-log.ts';

function openLog(keptMaxBytes: number) {
  let wallMs = 1_700_000_000_000;
  const clock = { wallMs: () => wallMs, monotonicNs: () => process.hrtime.bigint() };
  const log = createMemoryLog({ clock, random: createSystemRandom(), keptMaxBytes });
  return { log, read: log.entry, setWall: (ms: number) => { wallMs = ms; } };
}

auditLogContract('memory', async () => openLog(1 << 24));

describe('the log in RAM', () => {
  test('keeps its newest entries up to its size, forgets the oldest, and never renumbers', async () => {
    const { log } = openLog(20_000);
    for (let i = 0; i < 5000; i++) await log.append([eventOf(`op${i}`)]);
    expect(log.size()).toBe(5000);
    expect(log.entry(0)).toBeUndefined();
    expect(log.entry(5000)).toBeUndefined();
    expect(log.entry(4999)).toContain('"op_id":"op4999"');
    const kept = Array.from({ length: 5000 }, (_, i) => log.entry(i)).filter((entry) => entry !== undefined);
    expect(kept.join('').length).toBeLessThanOrEqual(20_000);
    expect(kept.length).toBeGreaterThan(30);
  });
});
