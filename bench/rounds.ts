import type { LoadJob, LoadResult } from './load.ts';
import type { RawJob, RawName, RawResult } from './raw.ts';
import type { OperationRow } from './rows.ts';
import type { Fleet, Served } from './fleet.ts';
import type { Worker } from './worker.ts';
import { startFleet } from './fleet.ts';
import { launcherFlags } from './launcher.ts';
import { rawsOf } from './rows.ts';
import { TENANT } from './service-under-test.ts';
import { requestBytes, signBody } from './world.ts';
import { startWorker } from './worker.ts';

/** What one measurement of one round gave. */
export interface Sample {
  /** Operations: a batch counts its items. */
  readonly perSecond: number;
  /** Processor time of the measured process, all threads. */
  readonly cpuUsPerOp: number;
  /** Over HTTP only. */
  readonly load?: LoadResult;
}

/** By measurement; each round adds one. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

export interface RoundsOptions {
  readonly rows: readonly OperationRow[];
  readonly rounds: number;
  readonly windowMs: number;
  /** Logs on disk are made below it. */
  readonly directory: string;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

export const ECHO = 'echo';
/** The counts of connections at which the echo is measured. */
export const ECHO_CONNECTIONS: readonly number[] = [1, 64];
const WARM_UP_SHARE = 0.5;
/** Windows until V8 has compiled a new service's way of answering: its first seconds are a third slower. */
const SETTLING_WINDOWS = 2;

/** How a measurement is called: `sign ed25519 @64`. */
export function measurementOf(name: string, connections: number): string {
  return `${name} @${connections}`;
}

export function rawMeasurementOf(name: RawName): string {
  return `raw ${name}`;
}

interface Bench {
  readonly load: Worker<LoadJob, LoadResult>;
  readonly raw: Worker<RawJob, RawResult>;
  readonly echo: { readonly pid: number; readonly port: number };
  readonly windowMs: number;
  readonly directory: string;
  record(measurement: string, sample: Sample): void;
}

/**
 * Every round measures the echo, each primitive and each operation once, a row's primitive right
 * before it: what the machine does meanwhile then falls on both sides of a ratio. A round has
 * services of its own, so that no row is slowed by the keys and the log of the round before.
 */
export async function runRounds({ rows, rounds, windowMs, directory, signal, progress }: RoundsOptions): Promise<Samples> {
  const samples = new Map<string, Sample[]>();
  const load = startWorker<LoadJob, LoadResult>('./load.ts', [], signal);
  const raw = startWorker<RawJob, RawResult>('./raw.ts', launcherFlags(), signal);
  const echo = startWorker<object, number>('./echo.ts', [], signal);
  try {
    const echoPort = await echo.ask({});
    for (let round = 1; round <= rounds; round++) {
      const record = (measurement: string, sample: Sample): void => {
        const before = samples.get(measurement) ?? [];
        samples.set(measurement, [...before, sample]);
        const failures = sample.load?.failures ?? 0;
        progress(`round ${round}/${rounds}  ${measurement}: ${Math.round(sample.perSecond)}/s${failures === 0 ? '' : `, ${failures} FAILED`}`);
      };
      const fleet = await startFleet(new Set(rows.map(({ log }) => log)), directory, signal);
      try {
        await runRound(rows, fleet, { load, raw, echo: { pid: echo.pid, port: echoPort }, windowMs, directory, record });
      } finally {
        await fleet.stop();
      }
    }
  } finally {
    for (const worker of [load, raw, echo]) worker.stop();
  }
  return samples;
}

async function runRound(rows: readonly OperationRow[], fleet: Fleet, bench: Bench): Promise<void> {
  for (const served of fleet.all) await settle(bench, served);
  await measureEcho(bench, fleet);
  const measured = new Set<RawName>();
  for (const row of rows) {
    for (const name of rawsOf(row)) {
      if (!measured.has(name)) await measureRaw(bench, name);
      measured.add(name);
    }
    // The most connections first: they are what the ratios are of, and follow their primitive at once.
    for (const connections of row.connections.toReversed()) await measureRow(bench, fleet.of(row.log), row, connections);
  }
}

async function settle({ load, windowMs }: Bench, { world, service: { host, port, pid } }: Served): Promise<void> {
  const requests = [world.request('POST', '/sign', signBody(await world.sharedKey('ed25519')))];
  await load.ask({ host, port, requests, serverPid: pid, connections: 64, warmUpMs: 0, until: { ms: SETTLING_WINDOWS * windowMs } });
}

/** It is sent what a signature is asked for with. */
async function measureEcho(bench: Bench, { all: [served] }: Fleet): Promise<void> {
  if (served === undefined) return;
  const { world, service: { host, tokenFor } } = served;
  const { pid, port } = bench.echo;
  const requests = [requestBytes({ method: 'POST', path: '/echo', host, port, token: tokenFor(TENANT), body: signBody(await world.sharedKey('ed25519')) })];
  for (const connections of ECHO_CONNECTIONS) await measureLoad(bench, measurementOf(ECHO, connections), 1, { host, port, connections, requests, serverPid: pid });
}

async function measureRow(bench: Bench, { world, service: { host, port, pid } }: Served, row: OperationRow, connections: number): Promise<void> {
  const requests = await row.prepare(world);
  await measureLoad(bench, measurementOf(row.name, connections), row.items, {
    host, port, connections, requests, serverPid: pid, ...(row.refusalMark !== undefined && { refusalMark: row.refusalMark }),
  });
}

async function measureLoad({ load, windowMs, record }: Bench, measurement: string, items: number, job: Omit<LoadJob, 'warmUpMs' | 'until'>): Promise<void> {
  const result = await load.ask({ ...job, warmUpMs: WARM_UP_SHARE * windowMs, until: { ms: windowMs } });
  const operations = result.answers * items;
  record(measurement, { perSecond: operations / result.seconds, cpuUsPerOp: (result.serverCpuSeconds * 1e6) / operations, load: result });
}

async function measureRaw({ raw, windowMs, directory, record }: Bench, name: RawName): Promise<void> {
  record(rawMeasurementOf(name), await raw.ask({ name, directory, warmUpMs: WARM_UP_SHARE * windowMs, ms: windowMs }));
}
