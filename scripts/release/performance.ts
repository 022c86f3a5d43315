/** The ratios of this build against those of the last release: each was measured beside its base in one run, so the machine's own speed falls out. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

interface Ratio {
  readonly rate: number;
  /** The same of processor times, which neighbours on the machine disturb less. */
  readonly byCpu: number;
}

export type Ratios = Readonly<Record<string, Ratio>>;

/** A ratio that falls below this share of what it was is a loss, not noise: runs of one build differ by up to a fifth here. */
const KEPT_AT_LEAST = 0.75;
/** A bad moment of the machine does not last; a loss does. */
const RUNS_MAX = 3;
const BENCH = ['bench', '--only', 'sign', '--seconds', '0.4', '--rounds', '2', '--json'];

interface Report {
  readonly targets: readonly { readonly what: string; readonly unit: string; readonly figure: number; readonly byCpu?: number }[];
}

export function measure(root: string): Ratios {
  const { stdout, status } = spawnSync(join(root, 'bin/ron-kms'), BENCH, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`ron-kms ${BENCH.join(' ')} ended with ${status}`);
  const { targets } = JSON.parse(stdout) as Report;
  return Object.fromEntries(targets.flatMap(({ what, unit, figure, byCpu }) => (unit === '' && byCpu !== undefined ? [[what, { rate: figure, byCpu }]] : [])));
}

/** One line for each ratio that was lost by rate and by processor time; a ratio that is not measured any more is lost as well. */
export function lossesOf(baseline: Ratios, now: Ratios): readonly string[] {
  return Object.entries(baseline).flatMap(([what, was]) => {
    const is = now[what];
    if (is === undefined) return [`${what} is not measured any more`];
    const kept = Math.max(is.rate / was.rate, is.byCpu / was.byCpu);
    return kept >= KEPT_AT_LEAST ? [] : [`${what}: ${short(is.rate)} (by processor time ${short(is.byCpu)}), and was ${short(was.rate)} (${short(was.byCpu)})`];
  });
}

/** Measured until nothing is lost, a few times at most; of each ratio the best one counts. */
export function lossesMeasured(baseline: Ratios, once: () => Ratios): { readonly losses: readonly string[]; readonly runs: number } {
  let best = once();
  let runs = 1;
  for (; lossesOf(baseline, best).length > 0 && runs < RUNS_MAX; runs++) best = bestOf(best, once());
  return { losses: lossesOf(baseline, best), runs };
}

function bestOf(one: Ratios, other: Ratios): Ratios {
  return Object.fromEntries(Object.entries(one).map(([what, { rate, byCpu }]) => [what, { rate: Math.max(rate, other[what]?.rate ?? 0), byCpu: Math.max(byCpu, other[what]?.byCpu ?? 0) }]));
}

function short(ratio: number): string {
  return ratio.toFixed(2);
}
