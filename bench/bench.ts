import type { Figures } from './figures.ts';
import type { Machine } from './machine.ts';
import type { EdgeFigures } from './edge.ts';
import type { HardwareFigures } from './hardware.ts';
import type { LargeLog } from './large-log.ts';
import type { LargeStore } from './large-store.ts';
import type { Memory } from './memory.ts';
import type { Pressure } from './pressure.ts';
import type { Samples } from './rounds.ts';
import type { StartUp } from './start-up.ts';
import type { TargetLine } from './targets.ts';
import { figuresOf } from './figures.ts';
import { readMachine } from './machine.ts';
import { measureEdge } from './edge.ts';
import { measureHardware } from './hardware.ts';
import { measureLargeLog } from './large-log.ts';
import { measureLargeStore } from './large-store.ts';
import { measureMemory } from './memory.ts';
import { measurePressure } from './pressure.ts';
import { runRounds } from './rounds.ts';
import { operationRows } from './rows.ts';
import { measureStartUp } from './start-up.ts';
import { targetLines } from './targets.ts';

export interface BenchOptions {
  /** The measured part of each window; the warm-up before it is half as long. */
  readonly seconds: number;
  readonly rounds: number;
  /** Only the operations and parts whose name contains it. */
  readonly only: string | undefined;
  /** Signatures between two readings of the memory; left out, memory is not measured. */
  readonly memoryStep: number | undefined;
  readonly startUpRuns: number;
  /** The measured part of each window under pressure; left out, none is put on it. */
  readonly pressureSeconds: number | undefined;
  /** How long each window of the edge is, and how long slow peers are there; left out, it is not measured. */
  readonly hardwareSeconds: number | undefined;
  readonly edgeSeconds: { readonly window: number; readonly slow: number } | undefined;
  /** Entries of the large log; left out, none is made. */
  readonly largeLog: number | undefined;
  /** Keys of the large store; left out, none is made. */
  readonly largeStore: number | undefined;
  /** Logs and stores are made below it, so its file system is the one that is measured. */
  readonly directory: string;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

export interface Report extends Figures {
  readonly date: string;
  readonly machine: Machine;
  readonly options: Pick<BenchOptions, 'seconds' | 'rounds' | 'only'>;
  readonly targets: readonly TargetLine[];
  readonly startUp?: StartUp;
  readonly memory?: Memory;
  readonly pressure?: Pressure;
  readonly edge?: EdgeFigures;
  readonly hardware?: HardwareFigures;
  readonly largeLog?: LargeLog;
  readonly largeStore?: LargeStore;
  /** Answers that were not 2xx, or said no; the figures beside them mean nothing. */
  readonly failures: number;
}

/** The parts that are no operation, as `only` may name them. */
const START_UP = 'start-up';
const MEMORY = 'memory';
const PRESSURE = 'pressure';
const EDGE = 'edge';
const HARDWARE = 'hardware';
const LARGE_LOG = 'large log';
const LARGE_STORE = 'large store';

/** The names that `only` can pick from. */
export const partNames: readonly string[] = [...operationRows.map(({ name }) => name), START_UP, MEMORY, PRESSURE, EDGE, HARDWARE, LARGE_LOG, LARGE_STORE];

export async function runBench({ seconds, rounds, only, memoryStep, startUpRuns, pressureSeconds, edgeSeconds, hardwareSeconds, largeLog: entries, largeStore: keys, directory, signal, progress }: BenchOptions): Promise<Report> {
  const isWanted = (name: string): boolean => only === undefined || name.includes(only);
  const machine = readMachine();
  const date = new Date().toISOString();
  const rows = operationRows.filter(({ name }) => isWanted(name));

  const startUp = isWanted(START_UP) ? await measureStartUp({ runs: startUpRuns, signal, progress }) : undefined;
  const samples: Samples = rows.length === 0 ? new Map() : await runRounds({ rows, rounds, windowMs: seconds * 1000, directory, signal, progress });
  const memory = memoryStep !== undefined && isWanted(MEMORY) ? await measureMemory({ stepOperations: memoryStep, signal, progress }) : undefined;
  const pressure = pressureSeconds !== undefined && isWanted(PRESSURE) ? await measurePressure({ windowMs: pressureSeconds * 1000, signal, progress }) : undefined;
  const edge = edgeSeconds !== undefined && isWanted(EDGE) ? await measureEdge({ windowMs: edgeSeconds.window * 1000, slowMs: edgeSeconds.slow * 1000, rounds, signal, progress }) : undefined;
  const hardware = hardwareSeconds !== undefined && isWanted(HARDWARE) ? await measureHardware({ windowMs: hardwareSeconds * 1000, rounds, directory, signal, progress }) : undefined;

  const largeLog = entries !== undefined && isWanted(LARGE_LOG) ? await measureLargeLog({ entries, directory, signal, progress }) : undefined;
  const largeStore = keys !== undefined && isWanted(LARGE_STORE) ? await measureLargeStore({ keys, windowMs: seconds * 1000, rounds, directory, signal, progress }) : undefined;

  const figures = rows.length === 0 ? { operations: [], raw: [] } : figuresOf(rows, samples);
  return {
    date, machine, options: { seconds, rounds, only }, ...figures,
    targets: targetLines({ samples, startUp, memory, pressure, edge, hardware, largeLog, largeStore }),
    ...(startUp && { startUp }),
    ...(memory && { memory }),
    ...(pressure && { pressure }),
    ...(edge && { edge }),
    ...(hardware && { hardware }),
    ...(largeLog && { largeLog }),
    ...(largeStore && { largeStore }),
    failures: figures.operations.reduce((sum, { failures }) => sum + failures, 0),
  };
}
