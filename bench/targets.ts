import type { Memory } from './memory.ts';
import type { Samples } from './rounds.ts';
import type { StartUp } from './start-up.ts';
import { byCpu, byRate, p95Of, ratioOf } from './figures.ts';
import { growthOf, highestOf } from './memory.ts';
import { ECHO, measurementOf, rawMeasurementOf } from './rounds.ts';

/** All that was measured; a part that was left out has no figures, and its targets are not shown. */
export interface Facts {
  readonly samples: Samples;
  readonly startUp: StartUp | undefined;
  readonly memory: Memory | undefined;
}

interface Target {
  readonly what: string;
  readonly unit: '' | 'ms' | 'MiB';
  /** Undefined when the measurements it takes were left out. */
  readonly figure: (facts: Facts) => number | undefined;
  /** The same ratio of processor times, to be read beside it where the machine is shared. */
  readonly byCpu?: (facts: Facts) => number | undefined;
  readonly bound: { readonly atLeast: number } | { readonly below: number };
}

export interface TargetLine {
  readonly what: string;
  readonly unit: string;
  readonly figure: number;
  readonly byCpu?: number;
  readonly bound: Target['bound'];
  readonly isMet: boolean;
}

const ratio = (measurement: string, base: string, atLeast: number): Target => ({
  what: `throughput: ${measurement} / ${base}`,
  unit: '',
  figure: ({ samples }) => ratioOf(samples, measurement, base, byRate),
  byCpu: ({ samples }) => ratioOf(samples, measurement, base, byCpu),
  bound: { atLeast },
});

const p95 = (measurement: string, below: number): Target =>
  ({ what: `p95: ${measurement}`, unit: 'ms', figure: ({ samples }) => p95Of(samples, measurement), bound: { below } });

/** Ratios, as the machine is whatever it is; latencies and sizes with room for a slow one. */
const targets: readonly Target[] = [
  ratio(measurementOf('sign ed25519', 64), measurementOf(ECHO, 64), 0.28),
  ratio(measurementOf('sign hybrid', 64), rawMeasurementOf('ML-DSA-65 sign'), 0.85),
  ratio(measurementOf('sign batch ed25519', 4), rawMeasurementOf('Ed25519 sign'), 0.65),
  ratio(measurementOf('wrap x-wing', 64), rawMeasurementOf('X-Wing seal'), 0.6),
  p95(measurementOf('sign ed25519', 1), 1),
  p95(measurementOf('verify ed25519', 1), 1),
  p95(measurementOf('sign hybrid', 1), 4),
  p95(measurementOf('wrap x-wing', 1), 2),
  p95(measurementOf('unwrap x-wing', 1), 2),
  { what: 'start-up: median', unit: 'ms', figure: ({ startUp }) => startUp?.medianMs, bound: { below: 500 } },
  { what: 'start-up: first, nothing compiled', unit: 'ms', figure: ({ startUp }) => startUp?.coldMs, bound: { below: 500 } },
  { what: 'memory: highest RSS', unit: 'MiB', figure: ({ memory }) => memory && highestOf(memory), bound: { below: 256 } },
  { what: 'memory: second half / first half', unit: '', figure: ({ memory }) => memory && growthOf(memory), bound: { below: 1.1 } },
];

export function targetLines(facts: Facts): readonly TargetLine[] {
  return targets.flatMap(({ what, unit, figure, byCpu, bound }) => {
    const value = figure(facts);
    if (value === undefined) return [];
    const cpuRatio = byCpu?.(facts);
    return [{ what, unit, figure: value, ...(cpuRatio !== undefined && { byCpu: cpuRatio }), bound, isMet: 'atLeast' in bound ? value >= bound.atLeast : value < bound.below }];
  });
}
