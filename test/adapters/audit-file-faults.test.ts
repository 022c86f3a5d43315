import type { Log } from '../../src/adapters/audit-log/log.ts';
import type { Crash, DiskImage, FaultyFiles, Step } from '../harness/faulty-files.ts';
import { describe, expect, test } from 'vitest';
import { blake3Hex } from '../../src/core/digest.ts';
import { eventOf } from '../contract/audit-log.ts';
import { entriesFrom } from '../harness/entries.ts';
import { CRASHES, createFaultyFiles, systemFault } from '../harness/faulty-files.ts';
import { createTestSigner } from '../harness/log-signer.ts';
import { eventually } from '../harness/poll.ts';
import { checkImage, newDisk, openSimulated } from '../harness/simulated-log.ts';

const signer = createTestSigner();
const KIDS = [1, 2, 3].map((n) => `core/audit/ed25519/01890000-0000-7000-8000-00000000000${n}#v1`);

type Durability = 'disk' | 'os';

/** What the callers of a log were told. */
interface Told {
  /** `op_id` by index. */
  readonly answered: Map<number, string>;
  readonly refused: Set<string>;
  /** Entries below have to outlive a failure of the power. */
  safeBelow: number;
}

const toldNothing = (): Told => ({ answered: new Map(), refused: new Set(), safeBelow: 0 });

let opIds = 0;

async function append(log: Log, told: Told, count: number, mustFlush: boolean): Promise<void> {
  const events = Array.from({ length: count }, () => ({ ...eventOf(`op-${++opIds}`), kid: KIDS[opIds % KIDS.length] }));
  try {
    const { firstIndex } = await log.append(events, { mustFlush });
    for (const [i, { op_id }] of events.entries()) told.answered.set(firstIndex + i, op_id);
    if (mustFlush) told.safeBelow = Math.max(told.safeBelow, firstIndex + count);
  } catch {
    for (const { op_id } of events) told.refused.add(op_id);
    // A caller that is refused comes again.
    await eventually('the log is ready again', 10_000, () => log.isReady());
    await append(log, told, count, mustFlush);
  }
}

async function checkpoint(log: Log, told: Told): Promise<void> {
  await log.checkpointNow().catch(async () => {
    await eventually('the log is ready again', 10_000, () => log.isReady());
    await checkpoint(log, told);
  });
  told.safeBelow = Math.max(told.safeBelow, log.checkpoint()?.size ?? 0);
}

/** Writers at once, some of many entries, checkpoints between them: full tiles, partial ones that are replaced, seals. */
async function live(log: Log, told: Told, durability: Durability): Promise<void> {
  const writer = async (of: number): Promise<void> => {
    for (let i = 0; i < 3; i++) await append(log, told, 1 + ((of * i) % 7), durability === 'disk' || (of + i) % 4 === 0);
  };
  for (const many of [1, 90, 180]) {
    await Promise.all([0, 1, 2, 3].map(writer));
    await append(log, told, many, durability === 'disk');
    await checkpoint(log, told);
  }
  await append(log, told, 3, durability === 'disk');
}

/** A disk after a crash, and what was answered until then. */
interface Wreck {
  readonly image: DiskImage;
  readonly crash: Crash;
  readonly where: string;
  readonly answered: ReadonlyMap<number, string>;
  readonly safeBelow: number;
}

/** Takes the disk at every step, before it and after it; of those that are the same disk, the last. */
function watch(told: Told) {
  const wrecks = new Map<string, Wreck>();
  let steps = 0;
  const take = (files: FaultyFiles, step: Step, crash: Crash, withLastStep: boolean): void => {
    const image = files.crashed(crash, withLastStep);
    const key = `${crash === 'killed'} ${blake3Hex(Buffer.concat([...image].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([path, bytes]) => [Buffer.from(`${path} ${bytes.length}\n`), bytes])))}`;
    wrecks.set(key, { image, crash, where: `${crash}, ${withLastStep ? 'with' : 'before'} step ${steps}: ${step.call} ${step.path}`, answered: new Map(told.answered), safeBelow: told.safeBelow });
  };
  return {
    wrecks,
    steps: () => steps,
    before(files: FaultyFiles, step: Step) {
      steps++;
      for (const crash of CRASHES) take(files, step, crash, false);
    },
    after(files: FaultyFiles, step: Step) {
      for (const crash of ['lost', 'empty', 'torn'] as const) take(files, step, crash, true);
    },
  };
}

/** Lives through it, and leaves the disk as it is at that moment, and as it is after a stop. */
async function watched(start: DiskImage, durability: Durability, told: Told) {
  const watcher = watch(told);
  const files: FaultyFiles = createFaultyFiles({ start, before: (step) => watcher.before(files, step), after: (step) => watcher.after(files, step) });
  const log = await openSimulated(files, signer, { durability });
  expect(log.integrityFault()).toBeUndefined();
  await live(log, told, durability);
  const unstopped = { killed: files.crashed('killed'), torn: files.crashed('torn') };
  await log.stop();
  return { ...watcher, unstopped, stopped: files.crashed('lost') };
}

/** The log goes on from it, has all that was answered, and is whole. */
async function expectWhole({ image, crash, where, answered, safeBelow }: Wreck, durability: Durability): Promise<void> {
  if (crash === 'killed') expect((await checkImage(image, signer))?.faults ?? [], `${where}: at once`).toEqual([]);
  const files = createFaultyFiles({ start: image });
  const log = await openSimulated(files, signer, { durability });
  expect(log.integrityFault(), where).toBeUndefined();
  const entries = await entriesFrom(log);
  const lost = [...answered].filter(([index, opId]) => (crash === 'killed' || index < safeBelow) && entries[index]?.['op_id'] !== opId);
  expect(lost, where).toEqual([]);
  const { firstIndex } = await log.append([eventOf('after')]);
  await log.stop();
  expect(await checkImage(files.crashed('lost'), signer), where).toMatchObject({ faults: [], ok: true, size: firstIndex + 1, checkpoint: { size: firstIndex + 1 } });
}

async function inParallel<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (const item of rest) await work(item);
  }));
}

describe.each(['disk', 'os'] as const)('kill -9 or no power at any step, durability %s', (durability) => {
  test('whatever was persisted, the log goes on whole, with all that was answered', { timeout: 300_000 }, async () => {
    const told = toldNothing();
    const fresh = await watched(newDisk(signer), durability, told);
    const afterStop = await watched(fresh.stopped, durability, told);
    // The steps of recovering from a kill and from a power failure are crashed at as well.
    const afterKill = await watched(afterStop.unstopped.killed, durability, told);
    const toldSafely: Told = { ...told, answered: new Map([...told.answered].filter(([index]) => index < told.safeBelow)) };
    const afterPower = durability === 'disk' ? await watched(afterKill.unstopped.torn, durability, toldSafely) : afterKill;
    const calls = new Set<string>();
    for (const life of new Set([fresh, afterStop, afterKill, afterPower])) {
      await inParallel([...life.wrecks.values()], 4, (wreck) => expectWhole(wreck, durability));
      for (const { where } of life.wrecks.values()) calls.add(/: (\w+)/.exec(where)?.[1] ?? '');
      expect(life.steps()).toBeGreaterThan(60);
    }
    expect([...calls].toSorted()).toEqual(expect.arrayContaining(['flush', 'open', 'rename', 'sync', 'unlink', 'write', 'writeFile']));
  });
});

/** One life in which one step fails, once. Gives how many steps it came to. */
async function liveWithFault(start: DiskImage, durability: Durability, at: number, code: string): Promise<number> {
  const told = toldNothing();
  let steps = 0;
  let where = 'none';
  const before = ({ call, path }: Step): void => {
    if (++steps !== at) return;
    where = `${code} at step ${at}: ${call} ${path}`;
    throw systemFault(code, path);
  };
  const files = createFaultyFiles({ start, before });
  const open = (): Promise<Log> => openSimulated(files, signer, { durability });
  const log = await open().catch(open);
  expect(log.integrityFault(), where).toBeUndefined();
  await live(log, told, durability);
  await eventually(`a checkpoint covers all after ${where}`, 5000, () => log.isCheckpointRecent() && log.checkpoint()?.size === log.size());
  let isClean = true;
  await log.stop().catch(() => { isClean = false; });
  const came = steps;
  steps = Infinity;

  const next = await openSimulated(files, signer, { durability });
  expect(next.integrityFault(), where).toBeUndefined();
  const entries = await entriesFrom(next);
  expect([...told.answered].filter(([index, opId]) => entries[index]?.['op_id'] !== opId), where).toEqual([]);
  if (isClean) expect(entries.filter(({ op_id }) => told.refused.has(op_id)), where).toEqual([]);
  await next.stop();
  expect(await checkImage(files.crashed('lost'), signer), where).toMatchObject({ faults: [], ok: true, size: entries.length });
  return came;
}

describe.each([['disk', 'EIO'], ['os', 'ENOSPC']] as const)('a step that fails once, durability %s, %s', (durability, code) => {
  test('costs a refusal at most: the log recovers by itself, and has all that was answered and nothing that was refused', { timeout: 300_000 }, async () => {
    const clean = await watched(newDisk(signer), durability, toldNothing());
    for (const start of [newDisk(signer), clean.unstopped.killed]) {
      const steps = await liveWithFault(start, durability, 0, code);
      await inParallel(Array.from({ length: steps }, (_, i) => i + 1), 40, async (at) => {
        await liveWithFault(start, durability, at, code);
      });
    }
  });
});

test('what cannot be tidied up behind a checkpoint is tidied up later, though no entry comes, and the log says that it is well again', async () => {
  let isStuck = false;
  const before = ({ call, path }: Step): void => {
    if (isStuck && call === 'unlink') throw systemFault('EIO', path);
  };
  const files = createFaultyFiles({ start: newDisk(signer), before });
  const log = await openSimulated(files, signer);
  await log.append([eventOf('x')]);
  await log.checkpointNow();
  await log.append([eventOf('y')]);
  isStuck = true;
  await expect(log.checkpointNow()).rejects.toMatchObject({ code: 'AuditUnavailable' });
  expect([log.isCheckpointRecent(), log.checkpoint()?.size]).toEqual([false, 3]);
  isStuck = false;
  await eventually('it is well again', 3000, () => log.isCheckpointRecent());
  await log.stop();
});
