import type { LoadJob, LoadResult } from './load.ts';
import type { OpenLoopJob, OpenLoopResult, StreamResult } from './open-loop.ts';
import type { ServiceUnderTest } from './service-under-test.ts';
import { startServiceUnderTest } from './service-under-test.ts';
import { startWorker } from './worker.ts';
import { createWorld, signBody, times } from './world.ts';

/** How the service does when more is asked of it than it can do. Hybrid signatures; milliseconds from when each request was due. */
export interface Pressure {
  /** Of 64 clients that each wait for their answer. */
  readonly capacity: number;
  readonly steadyP99: number;
  readonly floodP99: number;
  readonly refusalP99: number;
  /** Answered 2xx a second under five times the capacity. */
  readonly floodPerSecond: number;
  readonly floodAskedPerSecond: number;
  /** Processor time of a refusal over that of a signature. */
  readonly refusalOverSign: number;
  readonly rssGrowth: number;
  /** A tenant that asks for a quarter of the capacity, half of its share: alone, and beside one that asks for ten times its own. */
  readonly aloneP95: number;
  readonly besideP95: number;
  readonly besideRefusedShare: number;
}

export interface PressureOptions {
  readonly windowMs: number;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

const STEADY = 0.8;
const FLOOD = 5;
const MODEST = 0.25;
const REQUESTS = 256;
/** As many as one peer may have, less those of the other tenant. */
const FLOOD_CONNECTIONS = 400;
const MODEST_CONNECTIONS = 64;
const OTHER_TENANT = 'other';

export async function measurePressure({ windowMs, signal, progress }: PressureOptions): Promise<Pressure> {
  const service = await startServiceUnderTest({ signal });
  const closed = startWorker<LoadJob, LoadResult>('./load.ts', [], signal);
  const load = startWorker<OpenLoopJob, OpenLoopResult>('./open-loop.ts', [], signal);
  try {
    const { host, port, pid: serverPid } = service;
    const modest = await signsOf(service, undefined);
    const greedy = await signsOf(service, OTHER_TENANT);
    const window = { host, port, serverPid, warmUpMs: windowMs / 2 };
    const ask = async (streams: OpenLoopJob['streams']): Promise<OpenLoopResult> => load.ask({ ...window, ms: windowMs, streams });

    const { answers, seconds, serverCpuSeconds } = await closed.ask({ ...window, connections: 64, requests: modest, until: { ms: windowMs } });
    const capacity = answers / seconds;
    const signCpu = serverCpuSeconds / answers;
    progress(`pressure  capacity ${Math.round(capacity)}/s`);

    const steady = only(await ask([{ name: 'steady', perSecond: STEADY * capacity, connections: MODEST_CONNECTIONS, requests: modest }]));
    const flood = await ask([{ name: 'flood', perSecond: FLOOD * capacity, connections: FLOOD_CONNECTIONS, requests: modest }]);
    const { accepted, refused } = only(flood);
    const refusalCpu = (flood.serverCpuSeconds - accepted.count * signCpu) / refused.count;
    progress(`pressure  p99 ${steady.accepted.p99.toFixed(1)} ms at ${STEADY}, ${accepted.p99.toFixed(1)} ms at ${FLOOD}; refusals ${refused.p99.toFixed(1)} ms; generator ${((100 * flood.generatorCpuSeconds) / flood.seconds).toFixed(0)} % of a core`);

    const alone = only(await ask([{ name: 'modest', perSecond: MODEST * capacity, connections: MODEST_CONNECTIONS, requests: modest }]));
    const both = await ask([
      { name: 'modest', perSecond: MODEST * capacity, connections: MODEST_CONNECTIONS, requests: modest },
      { name: 'greedy', perSecond: FLOOD * capacity, connections: FLOOD_CONNECTIONS, requests: greedy },
    ]);
    const beside = only(both);
    progress(`pressure  p95 ${alone.accepted.p95.toFixed(1)} ms alone, ${beside.accepted.p95.toFixed(1)} ms beside a greedy tenant`);
    return {
      capacity, steadyP99: steady.accepted.p99, floodP99: accepted.p99, refusalP99: refused.p99,
      floodPerSecond: accepted.count / flood.seconds, floodAskedPerSecond: (accepted.count + refused.count) / flood.seconds,
      refusalOverSign: refusalCpu / signCpu, rssGrowth: flood.rssMib[1] / flood.rssMib[0],
      aloneP95: alone.accepted.p95, besideP95: beside.accepted.p95,
      besideRefusedShare: beside.refused.count / (beside.accepted.count + beside.refused.count),
    };
  } finally {
    closed.stop();
    load.stop();
    await service.stop();
  }
}

/** The first stream; any other only presses. */
function only({ streams: [first] }: OpenLoopResult): StreamResult {
  if (first === undefined) throw new Error('a job has a stream');
  if (first.failures > 0) throw new Error(`${first.failures} requests failed: ${first.firstFailure}`);
  return first;
}

async function signsOf(service: ServiceUnderTest, tenant: string | undefined): Promise<readonly string[]> {
  const world = createWorld(service, tenant);
  const kid = await world.key('ed25519+ml-dsa');
  return times(REQUESTS, () => world.request('POST', '/sign', signBody(kid)));
}
