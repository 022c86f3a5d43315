import type { Instance } from './instance.ts';
import type { LoadJob, LoadResult } from './load.ts';
import type { Sample } from './rounds.ts';
import type { ServiceUnderTest } from './service-under-test.ts';
import type { Worker } from './worker.ts';
import { kidText } from '../src/core/key/kid.ts';
import { byCpu, byRate, median, ratioOf } from './figures.ts';
import { filledBase, fillStore } from './fill-store.ts';
import { makeInstance } from './instance.ts';
import { rssMibOf } from './process-stat.ts';
import { startServiceUnderTest } from './service-under-test.ts';
import { medianStartMs } from './start-up.ts';
import { startWorker } from './worker.ts';
import { createWorld, signBody, times } from './world.ts';
import { makeZipf } from './zipf.ts';

/** What a store costs that has grown large, beside one with a tenth of the keys. */
export interface LargeStore {
  readonly keys: number;
  /** From the spawn to the line that says where the service listens: the medians. */
  readonly startedInMs: number;
  readonly smallStartedInMs: number;
  /** Hybrid signatures a second, and their processor time: of one key, and of all keys by Zipf's law. */
  readonly oneKey: Sample;
  readonly byZipf: Sample;
  readonly overOneKey: number;
  readonly overOneKeyByCpu: number;
  /** The most that was resident, from the moment it listens until the last signature. */
  readonly rssMib: number;
}

export interface LargeStoreOptions {
  readonly keys: number;
  /** The measured part of each window; the warm-up before it is half as long. */
  readonly windowMs: number;
  readonly rounds: number;
  readonly directory: string;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

const SMALLER = 10;
const WARM_UP_SHARE = 0.5;
/** More than a window takes: no connection comes to where another began. */
const REQUESTS = 16_384;
/** Until the caches hold what they hold from then on; a small store has nothing to fill them with. */
const FIRST_SIGNATURES = 30_000;
const CONNECTIONS = 64;
const SAMPLE_MS = 50;

export async function measureLargeStore({ keys: asked, ...options }: LargeStoreOptions): Promise<LargeStore> {
  const { directory, signal, progress } = options;
  const keys = Math.ceil(asked);
  const small = await makeInstance(directory, signal);
  const large = await makeInstance(directory, signal);
  try {
    await fillStore(small, Math.ceil(keys / SMALLER), signal, progress);
    await fillStore(large, keys, signal, progress);
    const smallStartedInMs = await medianStartMs(small, signal);
    const startedInMs = await medianStartMs(large, signal);
    progress(`large store  start-up ${Math.round(startedInMs)} ms, with a tenth ${Math.round(smallStartedInMs)} ms`);
    return { keys, startedInMs, smallStartedInMs, ...await measureSigning(large, { keys, ...options }) };
  } finally {
    small.remove();
    large.remove();
  }
}

async function measureSigning(instance: Instance, { keys, windowMs, rounds, signal, progress }: LargeStoreOptions): Promise<Omit<LargeStore, 'keys' | `${string}tartedInMs`>> {
  const load = startWorker<LoadJob, LoadResult>('./load.ts', [], signal);
  const service = await startServiceUnderTest({ signal, log: { instance, durability: 'disk' } });
  const memory = watchRss(service.pid);
  const nextRank = makeZipf(keys);
  const zipf = (count: number) => signsOf(service, count, () => scattered(nextRank(), keys));
  const window = { warmUpMs: WARM_UP_SHARE * windowMs, until: { ms: windowMs } };
  const samples = { oneKey: [] as Sample[], byZipf: [] as Sample[] };
  try {
    await sign(load, service, { requests: await zipf(FIRST_SIGNATURES), warmUpMs: 0, until: { answers: Math.min(keys, FIRST_SIGNATURES) } });
    for (let round = 1; round <= rounds; round++) {
      samples.oneKey.push(await sign(load, service, { requests: await signsOf(service, CONNECTIONS, () => 0), ...window }));
      samples.byZipf.push(await sign(load, service, { requests: await zipf(REQUESTS), ...window }));
      progress(`large store  one key ${Math.round(samples.oneKey.at(-1)?.perSecond ?? 0)}/s, by Zipf ${Math.round(samples.byZipf.at(-1)?.perSecond ?? 0)}/s, ${Math.round(memory.highestMib())} MiB`);
    }
  } finally {
    memory.stop();
    load.stop();
    await service.stop();
  }
  const measured = new Map(Object.entries(samples));
  return {
    oneKey: medianOf(samples.oneKey), byZipf: medianOf(samples.byZipf),
    overOneKey: ratioOf(measured, 'byZipf', 'oneKey', byRate) ?? NaN, overOneKeyByCpu: ratioOf(measured, 'byZipf', 'oneKey', byCpu) ?? NaN,
    rssMib: memory.highestMib(),
  };
}

/** Requests to sign with the keys of these numbers. */
function signsOf(service: ServiceUnderTest, count: number, nextNumber: () => number): Promise<readonly string[]> {
  const world = createWorld(service);
  return times(count, () => world.request('POST', '/sign', signBody(kidText(filledBase(nextNumber()), 1))));
}

async function sign(load: Worker<LoadJob, LoadResult>, { host, port, pid }: ServiceUnderTest, job: Pick<LoadJob, 'requests' | 'warmUpMs' | 'until'>): Promise<Sample> {
  const { answers, seconds, serverCpuSeconds, failures, firstFailure } = await load.ask({ host, port, serverPid: pid, connections: CONNECTIONS, ...job });
  if (failures > 0) throw new Error(`${failures} answers failed: ${firstFailure}`);
  return { perSecond: answers / seconds, cpuUsPerOp: (serverCpuSeconds * 1e6) / answers };
}

/** The keys asked for most lie all over the store, as they would. */
function scattered(rank: number, keys: number): number {
  return (rank * SCATTER) % keys;
}

/** A prime that divides no count of keys that is asked for. */
const SCATTER = 6_700_417;

function medianOf(samples: readonly Sample[]): Sample {
  return { perSecond: median(samples.map(({ perSecond }) => perSecond)), cpuUsPerOp: median(samples.map(({ cpuUsPerOp }) => cpuUsPerOp)) };
}

function watchRss(pid: number): { highestMib(): number; stop(): void } {
  let highest = rssMibOf(pid);
  const timer = setInterval(() => { highest = Math.max(highest, rssMibOf(pid)); }, SAMPLE_MS);
  return { highestMib: () => highest, stop: () => clearInterval(timer) };
}
