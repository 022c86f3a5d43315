import type { Instance } from './instance.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from './figures.ts';
import { startServiceUnderTest } from './service-under-test.ts';

/** From the spawn of the launcher to the line that says where the service listens. */
export interface StartUp {
  /** The first run, whose code nobody had compiled and kept. */
  readonly coldMs: number;
  /** Of the runs after it. */
  readonly medianMs: number;
  readonly runsMs: readonly number[];
}

export interface StartUpOptions {
  readonly runs: number;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

export async function measureStartUp({ runs, signal, progress }: StartUpOptions): Promise<StartUp> {
  const compileCache = mkdtempSync(join(tmpdir(), 'ron-kms-bench-cache-'));
  try {
    const runsMs: number[] = [];
    while (runsMs.length < runs) {
      const service = await startServiceUnderTest({ signal, compileCache });
      runsMs.push(service.startedInMs);
      progress(`start-up  ${Math.round(service.startedInMs)} ms`);
      // The code that was compiled is kept when the process ends by itself.
      await service.stop();
    }
    const [coldMs = NaN, ...rest] = runsMs;
    return { coldMs, medianMs: median(rest), runsMs };
  } finally {
    rmSync(compileCache, { recursive: true, force: true });
  }
}

const STARTS = 3;

/** The same of an instance on disk that was stopped before; the median. */
export async function medianStartMs(instance: Instance, signal: AbortSignal): Promise<number> {
  const runsMs: number[] = [];
  while (runsMs.length < STARTS) {
    const service = await startServiceUnderTest({ signal, log: { instance, durability: 'disk' } });
    runsMs.push(service.startedInMs);
    await service.stop();
  }
  return median(runsMs);
}
