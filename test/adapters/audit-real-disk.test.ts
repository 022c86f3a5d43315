import type { Log } from '../../src/adapters/audit-log/log.ts';
import type { Durability } from '../harness/appending-process.ts';
import type { TestSigner } from '../harness/log-signer.ts';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { openFileStorage } from '../../src/adapters/audit-file/storage.ts';
import { openLog } from '../../src/adapters/audit-log/open-log.ts';
import { formatIdentity } from '../../src/adapters/log-keys/identity.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { eventOf } from '../contract/audit-log.ts';
import { entriesFrom } from '../harness/entries.ts';
import { SIGNER_ORIGIN, createTestSigner, signerFromFile } from '../harness/log-signer.ts';
import { eventually } from '../harness/poll.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-real-disk-'));
const mounted: string[] = [];
afterEach(() => {
  for (const path of mounted.splice(0)) spawnSync('umount', [path]);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A small file system of its own. */
function mountSmall(path: string): boolean {
  mkdirSync(path);
  const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'tmpfs', path], { stdio: 'ignore' }).status === 0;
  if (isMounted) mounted.push(path);
  return isMounted;
}

const canMount = mountSmall(join(root, 'probe'));
if (!canMount) console.warn('SKIPPED: a full disk; mounting a small tmpfs needs root (CAP_SYS_ADMIN)');

function identify(directory: string): void {
  writeFileSync(join(directory, 'identity.json'), formatIdentity({ instanceId: SIGNER_ORIGIN.replace(/.*\//, ''), createdAt: '2026-11-23T10:00:00.000Z' }), { mode: 0o600 });
}

async function openAt(directory: string, signer: TestSigner, durability: Durability = 'disk'): Promise<Log> {
  return openLog({ storage: await openFileStorage(directory), signer, clock: systemClock, random: createSystemRandom(), options: { durability, checkpointEveryOps: 5000 } });
}

function missingOf(entries: Awaited<ReturnType<typeof entriesFrom>>, answered: ReadonlyMap<number, string>): readonly unknown[] {
  return [...answered].filter(([index, opId]) => entries[index]?.['op_id'] !== opId);
}

describe.skipIf(!canMount).each(['disk', 'os'] as const)('a log that fills its disk, durability %s', (durability) => {
  test('takes nothing more while it is full, goes on by itself when there is room, and has all that it answered', async () => {
    const directory = join(root, `full-${durability}`);
    mountSmall(directory);
    identify(directory);
    const signer = createTestSigner();
    const log = await openAt(directory, signer, durability);
    const answered = new Map<number, string>();
    const refused = new Set<string>();
    let opIds = 0;
    const append = (): Promise<string> => {
      const opId = `op-${++opIds}`;
      return log.append([{ ...eventOf(opId), reason: 'x'.repeat(500) }]).then(
        ({ firstIndex }) => { answered.set(firstIndex, opId); return 'ok'; },
        ({ code }: { readonly code: string }) => { refused.add(opId); return code; },
      );
    };

    for (let round = 0; round < 2; round++) {
      const filler = join(directory, 'filler');
      const { bavail, bsize } = statfsSync(directory);
      writeFileSync(filler, Buffer.alloc(bavail * bsize - (1 << 20)));
      // Its own entries fill the rest.
      const code = await eventually('it is full', 20_000, async () => (await Promise.all(Array.from({ length: 64 }, append))).find((answer) => answer !== 'ok'));
      expect(code).toBe('AuditUnavailable');
      expect([log.isReady(), await append()]).toEqual([false, 'AuditUnavailable']);
      const sizeWhileFull = log.size();
      rmSync(filler);
      expect(log.size()).toBe(sizeWhileFull);
      await eventually('it goes on', 15_000, () => log.isReady());
      expect(await append()).toBe('ok');
      await eventually('all of it is covered', 15_000, () => log.isCheckpointRecent() && log.checkpoint()?.size === log.size());
    }
    await log.stop();

    expect(await checkWholeLog({ directory, vkeys: signer.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], size: log.size() });
    const again = await openAt(directory, signer);
    const entries = await entriesFrom(again);
    expect(missingOf(entries, answered)).toEqual([]);
    expect(entries.filter(({ op_id }) => refused.has(op_id as string))).toEqual([]);
    await again.stop();
  }, 90_000);
});

describe('a process that writes the log', () => {
  test('killed twenty times at any moment loses nothing that it has answered, and nobody writes beside it', async () => {
    const directory = join(root, 'killed');
    const keys = join(root, 'keys.json');
    mkdirSync(directory, { mode: 0o700 });
    identify(directory);
    const signer = signerFromFile(keys);
    const answered = new Map<number, string>();
    for (let round = 0; round < 20; round++) {
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../harness/appending-process.ts'), directory, keys, round % 2 === 0 ? 'disk' : 'os'], { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(child, 'exit');
      const enough = answered.size + 1 + Math.floor(Math.random() * 1500);
      for await (const line of createInterface({ input: child.stdout })) {
        const [index, opId] = line.split(' ');
        // The last line may be cut.
        if (opId !== undefined && /^\d+-\d+-\d+$/.test(opId)) answered.set(Number(index), opId);
        if (answered.size < enough || child.killed) continue;
        if (round === 0) await expect(openFileStorage(directory)).rejects.toThrow(`process ${child.pid} writes here; stop it first`);
        child.kill('SIGKILL');
      }
      await ended;

      expect(await checkWholeLog({ directory, vkeys: signer.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
      const log = await openAt(directory, signer);
      expect(log.integrityFault()).toBeUndefined();
      expect(missingOf(await entriesFrom(log), answered)).toEqual([]);
      await log.stop();
      expect(await checkWholeLog({ directory, vkeys: signer.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], size: log.size(), checkpoint: { size: log.size() } });
    }
    expect(answered.size).toBeGreaterThan(1000);
  }, 180_000);
});
