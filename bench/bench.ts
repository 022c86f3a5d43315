import type { Figures } from './figures.ts';
import type { Machine } from './machine.ts';
import type { Memory } from './memory.ts';
import type { Samples } from './rounds.ts';
import type { StartUp } from './start-up.ts';
import type { TargetLine } from './targets.ts';
import { figuresOf } from './figures.ts';
import { readMachine } from './machine.ts';
import { measureMemory } from './memory.ts';
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
  /** Answers that were not 2xx, or said no; the figures beside them mean nothing. */
  readonly failures: number;
}

/** The parts that are no operation, as `only` may name them. */
const START_UP = 'start-up';
const MEMORY = 'memory';

/** The names that `only` can pick from. */
export const partNames: readonly string[] = [...operationRows.map(({ name }) => name), START_UP, MEMORY];

export async function runBench({ seconds, rounds, only, memoryStep, startUpRuns, signal, progress }: BenchOptions): Promise<Report> {
  const isWanted = (name: string): boolean => only === undefined || name.includes(only);
  const machine = readMachine();
  const date = new Date().toISOString();
  const rows = operationRows.filter(({ name }) => isWanted(name));

  const startUp = isWanted(START_UP) ? await measureStartUp({ runs: startUpRuns, signal, progress }) : undefined;
  const samples: Samples = rows.length === 0 ? new Map() : await runRounds({ rows, rounds, windowMs: seconds * 1000, signal, progress });
  const memory = memoryStep !== undefined && isWanted(MEMORY) ? await measureMemory({ stepOperations: memoryStep, signal, progress }) : undefined;

  const figures = rows.length === 0 ? { operations: [], raw: [] } : figuresOf(rows, samples);
  return {
    date, machine, options: { seconds, rounds, only }, ...figures,
    targets: targetLines({ samples, startUp, memory }),
    ...(startUp && { startUp }),
    ...(memory && { memory }),
    failures: figures.operations.reduce((sum, { failures }) => sum + failures, 0),
  };
}
