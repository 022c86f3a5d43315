import type { Durability, ServiceUnderTest } from './service-under-test.ts';
import type { World } from './world.ts';
import { makeInstance } from './instance.ts';
import { startServiceUnderTest } from './service-under-test.ts';
import { createWorld } from './world.ts';

export interface Served {
  readonly service: ServiceUnderTest;
  readonly world: World;
}

/** The services of one round: one for each kind of log that its rows are about. */
export interface Fleet {
  readonly all: readonly Served[];
  of(log: Durability | undefined): Served;
  stop(): Promise<void>;
}

export async function startFleet(logs: ReadonlySet<Durability | undefined>, directory: string, signal: AbortSignal): Promise<Fleet> {
  const served = new Map<Durability | undefined, Served>();
  const ends: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end();
  };
  const start = async (durability: Durability | undefined): Promise<void> => {
    const instance = durability && (await makeInstance(directory, signal));
    if (instance !== undefined) ends.push(instance.remove);
    const service = await startServiceUnderTest({ signal, ...(instance && durability && { log: { instance, durability } }) });
    ends.push(service.stop);
    served.set(durability, { service, world: createWorld(service) });
  };
  try {
    for (const durability of logs) await start(durability);
  } catch (fault) {
    await stop();
    throw fault;
  }
  return {
    all: [...served.values()],
    of(log) {
      const found = served.get(log);
      if (found === undefined) throw new Error(`no service with a log of this kind: ${log ?? 'in RAM'}`);
      return found;
    },
    stop,
  };
}
