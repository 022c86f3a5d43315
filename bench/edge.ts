import type { LoadJob, LoadResult } from './load.ts';
import type { OpenLoopJob, OpenLoopResult } from './open-loop.ts';
import type { ServiceUnderTest } from './service-under-test.ts';
import type { SlowPeersJob, SlowPeersResult } from './slow-peers.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { makeIssuer } from '../test/harness/certificates.ts';
import { median } from './figures.ts';
import { peakRssMibOf, resetPeakRss, rssMibOf } from './process-stat.ts';
import { startServiceUnderTest, TENANT } from './service-under-test.ts';
import { startWorker } from './worker.ts';
import { createWorld, signBody, times } from './world.ts';

/** What connections cost: TLS, slow peers, bodies that become large. */
export interface EdgeFigures {
  /** Signatures a second at 64 connections that stay, Ed25519, over TLS 1.3 and in the clear: the median of the rounds' ratios. */
  readonly tlsOverPlain: number;
  readonly tlsPerSecond: number;
  readonly plainPerSecond: number;
  readonly slowConnections: number;
  /** Milliseconds, of a client that asks for a quarter of what could be done. */
  readonly aloneP95: number;
  readonly besideSlowP95: number;
  /** How much the peak of resident memory rises over what was resident, for each of the bodies of 10 MiB in 10 kB that come at once. */
  readonly bombMib: number;
}

export interface EdgeOptions {
  readonly windowMs: number;
  /** How long slow peers are there. */
  readonly slowMs: number;
  readonly rounds: number;
  readonly signal: AbortSignal;
  progress(line: string): void;
}

const CONNECTIONS = 64;
const REQUESTS = 64;
const SLOW_CONNECTIONS = 2000;
const SHARE = 0.25;
const BOMB_BYTES = 10 * 1024 * 1024;
/** As many as are unpacked at once. */
const BOMBS = 16;
const BOMB_ROUNDS = 20;

export async function measureEdge(options: EdgeOptions): Promise<EdgeFigures> {
  const { signal, progress } = options;
  const directory = mkdtempSync(join(tmpdir(), 'ron-kms-bench-edge-'));
  const stops: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  try {
    const issuer = await makeIssuer(directory, 'ca');
    const { certPath, keyPath } = await issuer.issue('localhost');
    const plain = await startServiceUnderTest({ signal, flags: ['--max-conns', '4096'] });
    stops.push(plain.stop);
    const tls = await startServiceUnderTest({ signal, flags: ['--tls-cert-path', certPath, '--tls-key-path', keyPath], ca: issuer.caPem });
    stops.push(tls.stop);

    const throughput = await measureTls(plain, tls, options, stops);
    progress(`edge  sign ed25519 @${CONNECTIONS}: ${Math.round(throughput.tlsPerSecond)}/s over TLS, ${Math.round(throughput.plainPerSecond)}/s in the clear`);
    const slow = await measureSlow(plain, throughput.plainPerSecond, options, stops);
    progress(`edge  p95 ${slow.aloneP95.toFixed(2)} ms alone, ${slow.besideSlowP95.toFixed(2)} ms beside ${slow.slowConnections} slow connections`);
    const bombMib = await measureBombs(plain);
    progress(`edge  a bomb of 10 MiB costs ${bombMib.toFixed(2)} MiB`);
    return { ...throughput, ...slow, bombMib };
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
}

type Stops = (() => unknown)[];

async function measureTls(plain: ServiceUnderTest, tls: ServiceUnderTest, { windowMs, rounds, signal }: EdgeOptions, stops: Stops): Promise<Pick<EdgeFigures, 'tlsOverPlain' | 'tlsPerSecond' | 'plainPerSecond'>> {
  const load = startWorker<LoadJob, LoadResult>('./load.ts', [], signal);
  stops.push(load.stop);
  const perSecond = async (service: ServiceUnderTest, requests: readonly string[]): Promise<number> => {
    const { host, port, pid, ca } = service;
    const result = await load.ask({ host, port, serverPid: pid, connections: CONNECTIONS, requests, warmUpMs: windowMs / 2, until: { ms: windowMs }, ...(ca !== undefined && { ca }) });
    if (result.failures > 0) throw new Error(`${result.failures} requests failed: ${result.firstFailure}`);
    return result.answers / result.seconds;
  };
  const [ofPlain, ofTls] = [await signsOf(plain), await signsOf(tls)];
  const pairs = await times(rounds, async () => ({ plain: await perSecond(plain, ofPlain), tls: await perSecond(tls, ofTls) }));
  return { tlsOverPlain: median(pairs.map((pair) => pair.tls / pair.plain)), tlsPerSecond: median(pairs.map((pair) => pair.tls)), plainPerSecond: median(pairs.map((pair) => pair.plain)) };
}

async function measureSlow(service: ServiceUnderTest, capacity: number, { windowMs, slowMs, signal }: EdgeOptions, stops: Stops): Promise<Pick<EdgeFigures, 'slowConnections' | 'aloneP95' | 'besideSlowP95'>> {
  const load = startWorker<OpenLoopJob, OpenLoopResult>('./open-loop.ts', [], signal);
  const peers = startWorker<SlowPeersJob, SlowPeersResult>('./slow-peers.ts', [], signal);
  stops.push(load.stop, peers.stop);
  const { host, port, pid: serverPid } = service;
  const requests = await signsOf(service);
  const p95During = async (ms: number): Promise<number> => {
    const { streams: [stream] } = await load.ask({ host, port, serverPid, warmUpMs: windowMs / 2, ms, streams: [{ name: 'good', perSecond: SHARE * capacity, connections: CONNECTIONS, requests }] });
    if (stream === undefined || stream.failures > 0) throw new Error(`good requests failed: ${stream?.firstFailure}`);
    return stream.accepted.p95;
  };
  const before = await p95During(slowMs / 2);
  const { open: slowConnections } = await peers.ask({ host, port, connections: SLOW_CONNECTIONS, request: requests[0] ?? '' });
  const besideSlowP95 = await p95During(slowMs);
  await peers.ask({ host, port, connections: 0, request: '' });
  // On both sides of it: what the machine does meanwhile is in both.
  const after = await p95During(slowMs / 2);
  return { slowConnections, aloneP95: (before + after) / 2, besideSlowP95 };
}

/** Many at once, as one alone hides in what is free already; how much each of them adds. */
async function measureBombs({ host, port, pid, tokenFor }: ServiceUnderTest): Promise<number> {
  const body = gzipSync(Buffer.concat([Buffer.from('{"kid":"'), Buffer.alloc(BOMB_BYTES, 0x61)]), { level: 9 });
  const send = async (): Promise<void> => {
    const { status } = await fetch(`http://${host}:${port}/v1/kms/sign`, {
      method: 'POST', body, headers: { 'authorization': `Bearer ${tokenFor(TENANT)}`, 'content-type': 'application/json', 'content-encoding': 'gzip' },
    });
    if (status !== 413) throw new Error(`a bomb was answered ${status}`);
  };
  const rises = await times(BOMB_ROUNDS, async () => {
    const before = rssMibOf(pid);
    resetPeakRss(pid);
    await Promise.all(Array.from({ length: BOMBS }, send));
    return (peakRssMibOf(pid) - before) / BOMBS;
  });
  return Math.max(...rises);
}

async function signsOf(service: ServiceUnderTest): Promise<readonly string[]> {
  const world = createWorld(service);
  const kid = await world.key('ed25519');
  return times(REQUESTS, () => world.request('POST', '/sign', signBody(kid)));
}
