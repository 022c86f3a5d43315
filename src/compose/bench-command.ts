import type { Command, Io, Parsed } from '../cli/command.ts';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { partNames, runBench } from '../../bench/bench.ts';
import { reportAsMarkdown, reportAsText } from '../../bench/report.ts';
import { UsageError } from '../cli/command.ts';
import { EXIT } from '../cli/exit-codes.ts';

export interface BenchDeps {
  /** Resolves when the process is asked to stop: the processes under measurement then go with it. */
  readonly stopped: Promise<unknown>;
}

const SECONDS = 2;
const ROUNDS = 3;
const START_UP_RUNS = 6;
const MEMORY_STEP = 100_000;
const SECONDS_MAX = 3600;
const ROUNDS_MAX = 1000;
const ENTRIES_MAX = 100_000_000;
/** The bench's own: what it keeps of a store grows with it. */
const KEYS_MAX = 6_000_000;
const PRESSURE_PART = 'pressure';
/** Long enough that what it does at first, until it knows that it is too much, is less than one in a hundred. */
const PRESSURE_SECONDS = 10;
const EDGE_PART = 'edge';
const HARDWARE_PART = 'hardware';
const EDGE_SLOW_SECONDS = 60;
const MEMORY_PART = 'memory';

/** `--quick`: does it run at all; its figures are worth little. */
const QUICK = { seconds: 0.2, rounds: 1, startUpRuns: 2, memoryStep: 1000, pressureSeconds: 1, edgeSlowSeconds: 1 } as const;

/** `ron-kms bench`: the service, its primitives and a bare fastify, measured side by side. */
export function makeBenchCommand({ stopped }: BenchDeps): Command {
  return {
    name: 'bench',
    summary: 'Measure throughput, latency, start-up and memory, as ratios',
    example: "bench --only 'sign ed25519' --rounds 1",
    options: {
      seconds: { type: 'string' }, rounds: { type: 'string' }, only: { type: 'string' }, memory: { type: 'boolean' }, pressure: { type: 'boolean' }, edge: { type: 'boolean' }, hardware: { type: 'boolean' }, 'large-log': { type: 'string' }, 'large-store': { type: 'string' },
      quick: { type: 'boolean' }, check: { type: 'boolean' }, markdown: { type: 'string' }, json: { type: 'boolean' },
    },
    about: {
      seconds: `how long each measurement lasts; ${SECONDS} when left out`,
      rounds: `how often all is measured; ${ROUNDS} when left out`,
      only: 'the operations and parts whose name contains this',
      memory: 'resident memory over a million signatures as well; --only memory is that alone',
      pressure: 'how it does under more than it can do, and one tenant beside another, as well; --only pressure is that alone',
      edge: 'TLS against plain, 2,000 slow connections for a minute, compressed bombs, as well; --only edge is that alone',
      hardware: 'SoftHSM2, swtpm and a key service as well; --only hardware is that alone',
      'large-log': 'start-up, memory and the whole check of a log of so many entries as well: 10000000 takes 4 GB and some minutes',
      'large-store': 'start-up, signing and memory of a store of so many hybrid keys as well: 1000000 takes 5 GB and some minutes',
      quick: 'one round of short windows: whether it runs, not how fast',
      check: 'exit 3 when a target is missed',
      markdown: 'write the report to this file as well',
      json: 'print everything as one JSON line',
    },
    async run(parsed, io) {
      const { flags } = parsed;
      const isQuick = flags['quick'] === true;
      const only = text(flags['only']);
      if (only !== undefined && !partNames.some((name) => name.includes(only))) throw new UsageError(`--only ${only} is part of none of: ${partNames.join(', ')}`);
      const abort = new AbortController();
      stopped.then(() => abort.abort(new Error('interrupted')), () => undefined);
      const report = await runBench({
        seconds: positive(parsed, 'seconds', SECONDS_MAX) ?? (isQuick ? QUICK.seconds : SECONDS),
        rounds: Math.ceil(positive(parsed, 'rounds', ROUNDS_MAX) ?? (isQuick ? QUICK.rounds : ROUNDS)),
        startUpRuns: isQuick ? QUICK.startUpRuns : START_UP_RUNS,
        memoryStep: flags['memory'] === true || only === MEMORY_PART ? (isQuick ? QUICK.memoryStep : MEMORY_STEP) : undefined,
        pressureSeconds: flags['pressure'] === true || only === PRESSURE_PART ? (isQuick ? QUICK.pressureSeconds : PRESSURE_SECONDS) : undefined,
        edgeSeconds: flags['edge'] === true || only === EDGE_PART ? { window: positive(parsed, 'seconds', SECONDS_MAX) ?? (isQuick ? QUICK.seconds : SECONDS), slow: isQuick ? QUICK.edgeSlowSeconds : EDGE_SLOW_SECONDS } : undefined,
        hardwareSeconds: flags['hardware'] === true || only === HARDWARE_PART ? positive(parsed, 'seconds', SECONDS_MAX) ?? (isQuick ? QUICK.seconds : SECONDS) : undefined,
        largeLog: positive(parsed, 'large-log', ENTRIES_MAX), largeStore: positive(parsed, 'large-store', KEYS_MAX), only, directory: io.cwd, signal: abort.signal,
        progress: (line) => io.err(`${line}\n`),
      }).catch((fault: unknown) => {
        throw abort.signal.aborted ? new Error('interrupted; there is no report') : fault;
      });
      io.out(flags['json'] === true ? `${JSON.stringify(report)}\n` : reportAsText(report));
      const markdown = text(flags['markdown']);
      if (markdown !== undefined) await writeFile(resolve(io.cwd, markdown), reportAsMarkdown(report, commandLineOf(parsed)));
      return exitCodeOf(report, flags['check'] === true, io);
    },
  };
}

function exitCodeOf({ failures, targets }: Awaited<ReturnType<typeof runBench>>, isChecked: boolean, io: Io): number {
  if (failures > 0) {
    io.err(`ron-kms: ${failures} answers were refusals, so the figures mean nothing\n`);
    return EXIT.refused;
  }
  const missed = targets.filter(({ isMet }) => !isMet).length;
  if (missed > 0) io.err(`ron-kms: ${missed} of ${targets.length} targets missed\n`);
  return isChecked && missed > 0 ? EXIT.invalid : EXIT.ok;
}

/** As it would be typed again, for the page that is written. */
function commandLineOf({ flags }: Parsed): string {
  const given = Object.entries(flags).flatMap(([name, value]) => {
    if (value === true) return [`--${name}`];
    return typeof value === 'string' ? [`--${name} ${/\s/.test(value) ? `'${value}'` : value}`] : [];
  });
  return ['npm run bench', ...(given.length === 0 ? [] : ['--', ...given])].join(' ');
}

function positive({ flags }: Parsed, name: string, most: number): number | undefined {
  const value = text(flags[name]);
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!(number > 0 && number <= most)) throw new UsageError(`--${name} is a number above 0, at most ${most}`);
  return number;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
