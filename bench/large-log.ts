import type { Instance } from './instance.ts';
import { parseVkey } from '../client/src/log/vkey.ts';
import { checkWholeLog } from '../src/adapters/audit-check/check-log.ts';
import { median } from './figures.ts';
import { fillLog } from './fill-log.ts';
import { makeInstance } from './instance.ts';
import { rssMibOf } from './process-stat.ts';
import { startServiceUnderTest } from './service-under-test.ts';

/** What a log costs that has grown large, beside one that has just begun. */
export interface LargeLog {
  readonly entries: number;
  /** From the spawn to the line that says where the service listens: the medians. */
  readonly startedInMs: number;
  readonly smallStartedInMs: number;
  /** The same after a crash. */
  readonly startedAfterKillMs: number;
  /** Resident then, with the full check going on behind. */
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

interface Start {
  readonly startedInMs: number;
  readonly rssMib: number;
}

const STARTS = 3;
const JOBS = [1, 2];

export async function measureLargeLog({ entries, directory, signal, progress }: LargeLogOptions): Promise<LargeLog> {
  const small = await makeInstance(directory, signal);
  const large = await makeInstance(directory, signal);
  try {
    await fillLog(large, entries, signal, progress);
    const smallStarts = await startOften(small, 'stop', signal);
    const starts = await startOften(large, 'stop', signal);
    const afterKill = await startOften(large, 'kill', signal);
    progress(`large log  start-up ${starts.map(({ startedInMs }) => Math.round(startedInMs)).join(', ')} ms`);
    const checks = [];
    for (const jobs of JOBS) checks.push({ jobs, perSecond: await checkedPerSecond(large, jobs, signal) });
    return {
      entries, checks,
      startedInMs: medianOf(starts, 'startedInMs'), smallStartedInMs: medianOf(smallStarts, 'startedInMs'), startedAfterKillMs: medianOf(afterKill, 'startedInMs'),
      rssMib: medianOf(starts, 'rssMib'), smallRssMib: medianOf(smallStarts, 'rssMib'),
    };
  } finally {
    small.remove();
    large.remove();
  }
}

async function startOften(instance: Instance, ending: 'stop' | 'kill', signal: AbortSignal): Promise<readonly Start[]> {
  const starts: Start[] = [];
  while (starts.length < STARTS) {
    const service = await startServiceUnderTest({ signal, log: { instance, durability: 'disk' } });
    starts.push({ startedInMs: service.startedInMs, rssMib: rssMibOf(service.pid) });
    await service[ending]();
  }
  return starts;
}

async function checkedPerSecond({ auditDir, vkeys }: Instance, jobs: number, signal: AbortSignal): Promise<number> {
  const begunAt = performance.now();
  const { ok, size, faults } = await checkWholeLog({ directory: auditDir, vkeys: vkeys.flatMap((text) => parseVkey(text) ?? []), jobs, signal });
  if (!ok) throw new Error(`the large log does not pass its own check: ${faults[0]?.what}`);
  return size / ((performance.now() - begunAt) / 1000);
}

function medianOf(starts: readonly Start[], what: keyof Start): number {
  return median(starts.map((start) => start[what]));
}
