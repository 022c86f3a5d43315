import type { LoadResult } from './load.ts';
import type { RawName } from './raw.ts';
import type { OperationRow } from './rows.ts';
import type { Sample, Samples } from './rounds.ts';
import { rawsOf } from './rows.ts';
import { ECHO, ECHO_CONNECTIONS, measurementOf, rawMeasurementOf } from './rounds.ts';

/** One line of the table: medians over the rounds, the worst of the maxima, all of the failures. */
export interface Figure {
  readonly name: string;
  /** None for a primitive. */
  readonly connections?: number;
  readonly perSecond: number;
  readonly cpuUsPerOp: number;
  readonly latencyMs?: LoadResult['latencyMs'];
  /** Median of the ratios of each round: against the echo at as many connections, and against the primitive. */
  readonly overEcho?: number;
  readonly overEchoByCpu?: number;
  readonly overRaw?: number;
  readonly failures: number;
  readonly firstFailure?: string;
  /** How busy the load generator's one thread was, 0 to 1; near 1 it is what limits. */
  readonly generatorLoad?: number;
}

export interface Figures {
  readonly operations: readonly Figure[];
  readonly raw: readonly Figure[];
}

export function figuresOf(rows: readonly OperationRow[], samples: Samples): Figures {
  const raws = [...new Set(rows.flatMap(rawsOf))];
  const echo = ECHO_CONNECTIONS.map((connections) => figure(samples, ECHO, connections, undefined));
  const operations = rows.flatMap((row) => row.connections.map((connections) => figure(samples, row.name, connections, row)));
  return {
    operations: [...echo, ...operations],
    raw: raws.map((name) => rawFigure(samples, name)),
  };
}

function rawFigure(samples: Samples, name: RawName): Figure {
  return { name, ...rates(samples.get(rawMeasurementOf(name)) ?? []), failures: 0 };
}

function figure(samples: Samples, name: string, connections: number, row: OperationRow | undefined): Figure {
  const measurement = measurementOf(name, connections);
  const taken = samples.get(measurement) ?? [];
  const loads = taken.flatMap(({ load }) => load ?? []);
  const echo = row?.items === 1 ? measurementOf(ECHO, connections) : undefined;
  const raw = row?.raw === undefined ? undefined : rawMeasurementOf(row.raw);
  const overEcho = ratioOf(samples, measurement, echo, byRate);
  const overEchoByCpu = ratioOf(samples, measurement, echo, byCpu);
  const overRaw = ratioOf(samples, measurement, raw, byRate);
  const firstFailure = loads.find((load) => load.firstFailure !== undefined)?.firstFailure;
  return {
    name, connections, ...rates(taken),
    latencyMs: {
      p50: median(loads.map(({ latencyMs }) => latencyMs.p50)),
      p95: median(loads.map(({ latencyMs }) => latencyMs.p95)),
      p99: median(loads.map(({ latencyMs }) => latencyMs.p99)),
      max: Math.max(...loads.map(({ latencyMs }) => latencyMs.max)),
    },
    ...(overEcho !== undefined && { overEcho }),
    ...(overEchoByCpu !== undefined && { overEchoByCpu }),
    ...(overRaw !== undefined && { overRaw }),
    failures: loads.reduce((sum, { failures }) => sum + failures, 0),
    ...(firstFailure !== undefined && { firstFailure }),
    generatorLoad: median(loads.map(({ generatorCpuSeconds, seconds }) => generatorCpuSeconds / seconds)),
  };
}

/** What a ratio compares; more is better. */
type Merit = (sample: Sample) => number;

export const byRate: Merit = ({ perSecond }) => perSecond;

/** Processor time holds still when something else takes the processor away: the steadier one on a busy machine. */
export const byCpu: Merit = ({ cpuUsPerOp }) => 1 / cpuUsPerOp;

/** The median of the rounds' ratios, each of two samples of the same round; undefined where one was not measured. */
export function ratioOf(samples: Samples, measurement: string, base: string | undefined, merit: Merit): number | undefined {
  const bases = base === undefined ? undefined : samples.get(base);
  const ratios = samples.get(measurement)?.flatMap((sample, round) => {
    const below = bases?.[round];
    return below === undefined ? [] : [merit(sample) / merit(below)];
  });
  return ratios === undefined || ratios.length === 0 ? undefined : median(ratios);
}

/** The median over the rounds of how often a second. */
export function perSecondOf(samples: Samples, measurement: string): number | undefined {
  const taken = samples.get(measurement);
  return taken === undefined ? undefined : median(taken.map(({ perSecond }) => perSecond));
}

/** The median over the rounds of a measurement's 95th percentile, milliseconds. */
export function p95Of(samples: Samples, measurement: string): number | undefined {
  const taken = samples.get(measurement)?.flatMap(({ load }) => load?.latencyMs.p95 ?? []);
  return taken === undefined || taken.length === 0 ? undefined : median(taken);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

function rates(taken: readonly Sample[]): { readonly perSecond: number; readonly cpuUsPerOp: number } {
  return { perSecond: median(taken.map(({ perSecond }) => perSecond)), cpuUsPerOp: median(taken.map(({ cpuUsPerOp }) => cpuUsPerOp)) };
}
