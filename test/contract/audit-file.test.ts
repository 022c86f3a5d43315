import type { LogDeps } from '../../src/adapters/audit-log/log.ts';
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { formatIdentity } from '../../src/adapters/log-keys/identity.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { entriesFrom } from '../harness/entries.ts';
import { SIGNER_ORIGIN, createTestSigner } from '../harness/log-signer.ts';
import { settableClock } from '../harness/settable-clock.ts';
import { auditLogContract, eventOf } from './audit-log.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-file-log-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const signer = createTestSigner();
const KID = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001#v1';

function newDirectory(): string {
  const directory = mkdtempSync(join(root, 'log-'));
  writeFileSync(join(directory, 'identity.json'), formatIdentity({ instanceId: SIGNER_ORIGIN.replace(/.*\//, ''), createdAt: '2026-11-23T10:00:00.000Z' }));
  return directory;
}

async function openAt(directory: string, more: Partial<LogDeps['options']> = {}) {
  const { clock, setWall } = settableClock();
  const log = await openLog({ storage: await openFileStorage(directory), signer, clock, random: createSystemRandom(), options: { durability: 'disk', checkpointEveryOps: 5000, ...more } });
  return { log, signer, setWall };
}

for (const durability of ['disk', 'os'] as const) auditLogContract(`in files, durability ${durability}`, (options) => openAt(newDirectory(), { durability, ...options }));

describe('a log in files that is opened again', () => {
  test.each([['after a stop', true], ['after a kill', false]] as const)('%s goes on where it was: entries, counts, what is open, the newest checkpoint', async (_when, isStopped) => {
    const directory = newDirectory();
    const { log, setWall } = await openAt(directory);
    setWall(1_900_000_000_000);
    await log.append(Array.from({ length: 300 }, (_, i) => ({ ...eventOf(`o${i}`), kid: KID })));
    await log.checkpointNow();
    await log.append([{ ...eventOf('done'), op: 'rotate', kid: KID, generation: 9 }, { ...eventOf('open'), op: 'rotate', result: 'intent', kid: KID }]);
    const before = await entriesFrom(log);
    const copy = join(root, `again-${isStopped}`);
    if (isStopped) await log.stop();
    cpSync(directory, copy, { recursive: true });
    rmSync(join(copy, 'lock'), { force: true });
    if (!isStopped) await log.stop();

    const { log: again } = await openAt(copy);
    onTestFinished(() => again.stop());
    expect(again.integrityFault()).toBeUndefined();
    const after = await entriesFrom(again);
    expect(after.slice(0, -1)).toEqual(before);
    expect(after.at(-1)).toMatchObject({ op: 'checkpoint-start', checkpoint: { size: isStopped ? 303 : 301 } });
    expect([again.keySeq(KID.slice(0, -3)), again.lastGeneration(), again.lastEntryMs(), again.checkpoint()?.size]).toEqual([302, 9, 1_900_000_000_000, 304]);
    expect(again.openIntents()).toMatchObject([{ index: 302, event: { op_id: 'open', kid: KID } }]);
  });

  test('over and over stays whole, and keeps no more files than it needs', async () => {
    const directory = newDirectory();
    for (let round = 0; round < 8; round++) {
      const { log } = await openAt(directory, { durability: round % 2 === 0 ? 'disk' : 'os', sealBytes: 20_000 });
      for (let i = 0; i < 4; i++) {
        await log.append(Array.from({ length: 37 }, () => eventOf('x')));
        await log.checkpointNow();
      }
      await log.stop();
      expect(await checkWholeLog({ directory, vkeys: signer.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], size: 149 * (round + 1) });
    }
    const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(directory, name)).isFile());
    // 1192 entries: four full bundles and tiles, and the partial ones of the one checkpoint.
    expect(names.toSorted()).toEqual([
      'checkpoint', 'identity.json', 'journal/0000000000001192', 'state',
      ...[0, 'entries'].flatMap((level) => ['000', '001', '002', '003', '004.p/168'].map((name) => `tile/${level}/${name}`)), 'tile/1/000.p/4',
    ].toSorted());
  });

  test('only its owner may read the files', async () => {
    const directory = newDirectory();
    const { log } = await openAt(directory);
    await log.append([eventOf('x')]);
    const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name !== 'identity.json');
    expect(names.map((name) => statSync(join(directory, name))).filter((stat) => (stat.mode & 0o077) !== 0)).toEqual([]);
    await log.stop();
  });

  test('twice at once is refused, and says by whom it is held', async () => {
    const directory = newDirectory();
    const { log } = await openAt(directory);
    await expect(openAt(directory)).rejects.toThrow('this process has it open already');
    await log.append([eventOf('x')]);
    await log.stop();
    await (await openAt(directory)).log.stop();
  });
});
