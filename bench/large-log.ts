import type { Instance } from './instance.ts';
import type { LoadJob, LoadResult } from './load.ts';
import type { ServiceUnderTest } from './service-under-test.ts';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseVkey } from '../client/src/log/vkey.ts';
import { checkWholeLog } from '../src/adapters/audit-check/check-log.ts';
import { median } from './figures.ts';
import { fillLog } from './fill-log.ts';
import { makeInstance } from './instance.ts';
import { rssMibOf } from './process-stat.ts';
import { startServiceUnderTest } from './service-under-test.ts';
import { medianStartMs } from './start-up.ts';
import { startWorker } from './worker.ts';
import { createWorld, signBody } from './world.ts';

/** What a log costs that has grown large, beside one with a tenth of the entries. */
export interface LargeLog {
  readonly entries: number;
  /** From the spawn to the line that says where the service listens: the medians. */
  readonly startedInMs: number;
  readonly smallStartedInMs: number;
  /** The same after a crash in the middle of signing. */
  readonly startedAfterKillMs: number;
  /** The most that was resident from then until the full check behind it was over. */
  readonly rssMib: number;
  readonly smallRssMib: number;
  /** `ron-kms audit verify` with so many threads. */
  readonly checks: readonly { readonly jobs: number; readonly perSecond: number }[];
}

export interface LargeLogOptions {
  readonly entries: number;
  readonly directory: string;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

const STARTS = 3;
const SMALLER = 10;
/** Before a crash; some ten thousand entries. */
const SIGNING_MS = 1000;
const SAMPLE_MS = 20;
const JOBS = [1, 2];

export async function measureLargeLog({ entries, directory, signal, progress }: LargeLogOptions): Promise<LargeLog> {
  const small = await makeInstance(directory, signal);
  const large = await makeInstance(directory, signal);
  try {
    await fillLog(small, Math.ceil(entries / SMALLER), signal, progress);
    await fillLog(large, entries, signal, progress);
    const smallStartedInMs = await medianStartMs(small, signal);
    const startedInMs = await medianStartMs(large, signal);
    const startedAfterKillMs = await startAfterKills(large, signal);
    progress(`large log  start-up ${Math.round(startedInMs)} ms, after a crash ${Math.round(startedAfterKillMs)} ms`);
    const smallRssMib = await highestRssMib(small, signal);
    const rssMib = await highestRssMib(large, signal);
    progress(`large log  ${Math.round(rssMib)} MiB while it is checked`);
    const checks = [];
    for (const jobs of JOBS) checks.push({ jobs, perSecond: await checkedPerSecond(large, jobs, signal) });
    return { entries, checks, startedInMs, smallStartedInMs, startedAfterKillMs, rssMib, smallRssMib };
  } finally {
    small.remove();
    large.remove();
  }
}

/** What was signed since the last sealing is in the journal alone. */
async function startAfterKills(instance: Instance, signal: AbortSignal): Promise<number> {
  const load = startWorker<LoadJob, LoadResult>('./load.ts', [], signal);
  const runsMs: number[] = [];
  let service = await start(instance, signal);
  try {
    while (runsMs.length < STARTS) {
      await signFor(SIGNING_MS, service, load);
      await service.kill();
      service = await start(instance, signal);
      runsMs.push(service.startedInMs);
    }
    return median(runsMs);
  } finally {
    load.stop();
    await service.stop();
  }
}

async function signFor(ms: number, service: ServiceUnderTest, load: ReturnType<typeof startWorker<LoadJob, LoadResult>>): Promise<void> {
  const { host, port, pid } = service;
  const world = createWorld(service);
  const requests = [world.request('POST', '/sign', signBody(await world.sharedKey('ed25519')))];
  const { failures, firstFailure } = await load.ask({ host, port, serverPid: pid, connections: 64, requests, warmUpMs: 0, until: { ms } });
  if (failures > 0) throw new Error(`${failures} answers failed: ${firstFailure}`);
}

async function highestRssMib(instance: Instance, signal: AbortSignal): Promise<number> {
  const linesPath = join(instance.directory, 'lines');
  const service = await start(instance, signal, linesPath);
  try {
    let highest = rssMibOf(service.pid);
    while (!isChecked(linesPath)) {
      await sleep(SAMPLE_MS, undefined, { signal });
      highest = Math.max(highest, rssMibOf(service.pid));
    }
    return highest;
  } finally {
    await service.stop();
  }
}

function isChecked(linesPath: string): boolean {
  const lines = existsSync(linesPath) ? readFileSync(linesPath, 'utf8') : '';
  if (/"audit_(?:check|integrity)_failed"/.test(lines)) throw new Error(`the large log does not pass the check behind a start:\n${lines}`);
  return lines.includes('"audit_checked"');
}

function start(instance: Instance, signal: AbortSignal, linesPath?: string): Promise<ServiceUnderTest> {
  return startServiceUnderTest({ signal, log: { instance, durability: 'disk' }, ...(linesPath !== undefined && { linesPath }) });
}

async function checkedPerSecond({ auditDir, vkeys }: Instance, jobs: number, signal: AbortSignal): Promise<number> {
  const begunAt = performance.now();
  const { ok, size, faults } = await checkWholeLog({ directory: auditDir, vkeys: vkeys.flatMap((text) => parseVkey(text) ?? []), jobs, signal });
  if (!ok) throw new Error(`the large log does not pass its own check: ${faults[0]?.what}`);
  return size / ((performance.now() - begunAt) / 1000);
}
