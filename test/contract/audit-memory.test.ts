import { expect, onTestFinished, test } from 'vitest';
import { checkReceipt, formatReceipt } from '../../client/src/log/receipt.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { createMemoryStorage } from '../../src/adapters/audit-memory/storage.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { inclusionProof } from '../../src/core/log/proofs.ts';
import { settableClock } from '../harness/settable-clock.ts';
import { createTestSigner } from '../harness/log-signer.ts';
import { auditLogContract, eventOf } from './audit-log.ts';

const signer = createTestSigner();

function openMemory(maxBytes: number, more = {}) {
  const { clock, setWall } = settableClock();
  return openLog({ storage: createMemoryStorage(maxBytes), signer, clock, random: createSystemRandom(), options: { durability: 'disk', checkpointEveryOps: 5000, ...more } }).then((log) => ({ log, signer, setWall }));
}

auditLogContract('in memory', (options) => openMemory(1 << 24, options));

test('a log in memory keeps its newest entries, in so many bytes, never renumbers, and each that it keeps can be proved', async () => {
  const { log } = await openMemory(1 << 20);
  onTestFinished(() => log.stop());
  let kept = 0;
  while (log.size() < 20_000) {
    await log.append(Array.from({ length: 100 }, () => eventOf('x'))).catch(() => log.checkpointNow());
    const entries = await log.entries(log.minimumIndex(), log.size());
    kept = Math.max(kept, entries.reduce((bytes, { length }) => bytes + length, 0));
  }
  await log.checkpointNow();
  expect(kept).toBeLessThan(1.5 * (1 << 20));
  expect(log.minimumIndex()).toBeGreaterThan(10_000);
  expect(log.size() - log.minimumIndex()).toBeGreaterThan(2000);
  expect(await log.entries(0, 1)).toEqual([]);
  const { note, size } = log.checkpoint() ?? { note: '', size: 0 };
  for (const index of [log.minimumIndex(), Math.floor((log.minimumIndex() + size) / 2), size - 1]) {
    const proof = await inclusionProof(index, size, async (level, at, width) => (await log.tile(level, at, width)) ?? Buffer.alloc(0));
    const [entry = Buffer.alloc(0)] = await log.entries(index, 1);
    expect(checkReceipt(formatReceipt({ entry, index, proof, note }), signer.vkeys)).toMatchObject({ ok: true, index });
  }
});
