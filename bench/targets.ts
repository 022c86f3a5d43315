import type { EdgeFigures } from './edge.ts';
import type { HardwareFigures } from './hardware.ts';
import type { LargeLog } from './large-log.ts';
import type { LargeStore } from './large-store.ts';
import type { Memory } from './memory.ts';
import type { Pressure } from './pressure.ts';
import type { Samples } from './rounds.ts';
import type { StartUp } from './start-up.ts';
import { byCpu, byRate, p95Of, perSecondOf, ratioOf } from './figures.ts';
import { growthOf, highestOf } from './memory.ts';
import { ECHO, measurementOf, rawMeasurementOf } from './rounds.ts';

/** All that was measured; a part that was left out has no figures, and its targets are not shown. */
export interface Facts {
  readonly samples: Samples;
  readonly startUp: StartUp | undefined;
  readonly memory: Memory | undefined;
  readonly pressure: Pressure | undefined;
  readonly edge: EdgeFigures | undefined;
  readonly hardware: HardwareFigures | undefined;
  readonly largeLog: LargeLog | undefined;
  readonly largeStore: LargeStore | undefined;
}

interface Target {
  readonly what: string;
  readonly unit: '' | '/s' | 'ms' | 'MiB' | 'entries/s';
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

const perSecond = (measurement: string, atLeast: number): Target =>
  ({ what: `throughput: ${measurement}`, unit: '/s', figure: ({ samples }) => perSecondOf(samples, measurement), bound: { atLeast } });

const p95 = (measurement: string, below: number): Target =>
  ({ what: `p95: ${measurement}`, unit: 'ms', figure: ({ samples }) => p95Of(samples, measurement), bound: { below } });

/** Ratios, as the machine is whatever it is; latencies and sizes with room for a slow one. */
const targets: readonly Target[] = [
  ratio(measurementOf('sign ed25519', 64), measurementOf(ECHO, 64), 0.28),
  ratio(measurementOf('sign ed25519, disk', 64), measurementOf(ECHO, 64), 0.22),
  ratio(measurementOf('sign ed25519, os', 64), measurementOf(ECHO, 64), 0.24),
  ratio(measurementOf('sign hybrid', 64), rawMeasurementOf('ML-DSA-65 sign'), 0.85),
  ratio(measurementOf('sign hybrid, disk', 64), rawMeasurementOf('ML-DSA-65 sign'), 0.8),
  ratio(measurementOf('sign batch ed25519', 4), rawMeasurementOf('Ed25519 sign'), 0.65),
  ratio(measurementOf('sign batch ed25519, disk', 4), rawMeasurementOf('Ed25519 sign'), 0.45),
  ratio(measurementOf('wrap x-wing', 64), rawMeasurementOf('X-Wing seal'), 0.6),
  ratio(measurementOf('sign ed25519, disk, 10,000 keys', 64), measurementOf('sign ed25519, disk', 64), 0.9),
  perSecond(measurementOf('create hybrid, disk', 64), 2500),
  perSecond(measurementOf('rotate hybrid, disk', 64), 2500),
  p95(measurementOf('sign ed25519', 1), 1),
  p95(measurementOf('verify ed25519', 1), 1),
  p95(measurementOf('sign hybrid', 1), 4),
  p95(measurementOf('wrap x-wing', 1), 2),
  p95(measurementOf('unwrap x-wing', 1), 2),
  { what: 'start-up: median', unit: 'ms', figure: ({ startUp }) => startUp?.medianMs, bound: { below: 500 } },
  { what: 'start-up: first, nothing compiled', unit: 'ms', figure: ({ startUp }) => startUp?.coldMs, bound: { below: 500 } },
  { what: 'memory: highest RSS', unit: 'MiB', figure: ({ memory }) => memory && highestOf(memory), bound: { below: 256 } },
  { what: 'memory: second half / first half', unit: '', figure: ({ memory }) => memory && growthOf(memory), bound: { below: 1.1 } },
  { what: 'pressure: p99 at five times the capacity / at 0.8 of it', unit: '', figure: ({ pressure }) => pressure && pressure.floodP99 / pressure.steadyP99, bound: { below: 3 } },
  { what: 'pressure: p99 of a refusal', unit: 'ms', figure: ({ pressure }) => pressure?.refusalP99, bound: { below: 5 } },
  { what: 'pressure: processor time of a refusal / of a hybrid signature', unit: '', figure: ({ pressure }) => pressure?.refusalOverSign, bound: { below: 0.1 } },
  { what: 'pressure: RSS, second half / first half', unit: '', figure: ({ pressure }) => pressure?.rssGrowth, bound: { below: 1.1 } },
  { what: 'pressure: p95 of a tenant beside a greedy one / alone', unit: '', figure: ({ pressure }) => pressure && pressure.besideP95 / pressure.aloneP95, bound: { below: 2 } },
  { what: 'edge: sign ed25519 @64 over TLS / in the clear', unit: '', figure: ({ edge }) => edge?.tlsOverPlain, bound: { atLeast: 0.55 } },
  { what: 'edge: p95 beside 2,000 slow connections / alone', unit: '', figure: ({ edge }) => edge && edge.besideSlowP95 / edge.aloneP95, bound: { below: 1.2 } },
  ...[4, 16].flatMap((count): readonly Target[] => [
    { what: `hardware: sign ed25519 @64 in SoftHSM2, ${count} sessions, disk / the module alone`, unit: '', figure: ({ hardware }) => hardware?.sessions.find((one) => one.count === count)?.ratio, bound: { atLeast: 0.5 } },
    { what: `hardware: event loop lag meanwhile, ${count} sessions, p99`, unit: 'ms', figure: ({ hardware }) => hardware?.sessions.find((one) => one.count === count)?.lagP99Ms, bound: { below: 5 } },
  ]),
  { what: 'hardware: a start with a root key sealed by a TPM, over one with a key file', unit: 'ms', figure: ({ hardware }) => hardware && hardware.tpmStartMs - hardware.keyfileStartMs, bound: { below: 100 } },
  { what: 'hardware: an unwrap by a key service, over its own time', unit: 'ms', figure: ({ hardware }) => hardware && hardware.cloudUnwrapMs - hardware.cloudAloneMs, bound: { below: 2 } },
  { what: 'edge: memory of a bomb, 10 MiB in 10 kB', unit: 'MiB', figure: ({ edge }) => edge?.bombMib, bound: { below: 2 } },
  { what: 'large log: start-up', unit: 'ms', figure: ({ largeLog }) => largeLog?.startedInMs, bound: { below: 2000 } },
  { what: 'large log: highest RSS / that of one with a tenth of it', unit: '', figure: ({ largeLog }) => largeLog && largeLog.rssMib / largeLog.smallRssMib, bound: { below: 1.1 } },
  { what: 'large store: start-up', unit: 'ms', figure: ({ largeStore }) => largeStore?.startedInMs, bound: { below: 6000 } },
  { what: 'large store: start-up with a tenth of it', unit: 'ms', figure: ({ largeStore }) => largeStore?.smallStartedInMs, bound: { below: 800 } },
  {
    what: 'large store: sign hybrid @64, keys by Zipf / one key', unit: '', bound: { atLeast: 0.6 },
    figure: ({ largeStore }) => largeStore?.overOneKey, byCpu: ({ largeStore }) => largeStore?.overOneKeyByCpu,
  },
  { what: 'large store: highest RSS while signing', unit: 'MiB', figure: ({ largeStore }) => largeStore?.rssMib, bound: { below: 400 } },
  ...[[1, 200_000], [2, 350_000]].map(([jobs = 0, atLeast = 0]): Target => ({
    what: `audit verify, jobs ${jobs}`, unit: 'entries/s', figure: ({ largeLog }) => largeLog?.checks.find((check) => check.jobs === jobs)?.perSecond, bound: { atLeast },
  })),
];

export function targetLines(facts: Facts): readonly TargetLine[] {
  return targets.flatMap(({ what, unit, figure, byCpu, bound }) => {
    const value = figure(facts);
    if (value === undefined) return [];
    const cpuRatio = byCpu?.(facts);
    return [{ what, unit, figure: value, ...(cpuRatio !== undefined && { byCpu: cpuRatio }), bound, isMet: 'atLeast' in bound ? value >= bound.atLeast : value < bound.below }];
  });
}
