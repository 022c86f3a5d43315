import type { LoadJob, LoadResult } from './load.ts';
import { rssMibOf } from './process-stat.ts';
import { operationRows } from './rows.ts';
import { startServiceUnderTest } from './service-under-test.ts';
import { startWorker } from './worker.ts';
import { createWorld } from './world.ts';

/** Resident memory of the service after so many signatures; the first point is before any. */
export interface Memory {
  readonly points: readonly { readonly operations: number; readonly rssMib: number }[];
}

export interface MemoryOptions {
  /** Signatures between two points. */
  readonly stepOperations: number;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

const STEPS = 10;
/** The rest come one by one: the two leave different garbage. */
const BATCHED_SHARE = 0.9;

/** Ed25519 signatures by batches and one by one against one service, a million when a step is 100,000. */
export async function measureMemory({ stepOperations, signal, progress }: MemoryOptions): Promise<Memory> {
  const load = startWorker<LoadJob, LoadResult>('./load.ts', [], signal);
  const service = await startServiceUnderTest({ signal });
  const world = createWorld(service);
  const points: { operations: number; rssMib: number }[] = [];
  let operations = 0;
  const note = (): void => {
    const rssMib = rssMibOf(service.pid);
    points.push({ operations, rssMib });
    progress(`memory  ${operations} signatures: ${Math.round(rssMib)} MiB`);
  };
  const sign = async (name: string, count: number): Promise<void> => {
    const row = operationRows.find((row) => row.name === name);
    if (row === undefined) throw new Error(`there is no row ${name}`);
    const { host, port, pid } = service;
    const answers = Math.ceil(count / row.items);
    const { failures, firstFailure } = await load.ask({
      host, port, serverPid: pid, connections: row.connections.at(-1) ?? 1, requests: await row.prepare(world),
      warmUpMs: 0, until: { answers }, ...(row.refusalMark !== undefined && { refusalMark: row.refusalMark }),
    });
    if (failures > 0) throw new Error(`${failures} answers of ${name} failed: ${firstFailure}`);
    operations += answers * row.items;
  };

  try {
    note();
    for (let step = 1; step <= STEPS; step++) {
      await sign('sign batch ed25519', BATCHED_SHARE * stepOperations);
      await sign('sign ed25519', step * stepOperations - operations);
      note();
    }
    return { points };
  } finally {
    load.stop();
    await service.stop();
  }
}

export function highestOf({ points }: Memory): number {
  return Math.max(...points.map(({ rssMib }) => rssMib));
}

/** How much higher the second half went than the first: near 1 is flat. */
export function growthOf({ points }: Memory): number {
  const middle = Math.ceil(points.length / 2);
  return highestOf({ points: points.slice(middle) }) / highestOf({ points: points.slice(0, middle) });
}
