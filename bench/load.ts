/**
 * The load generator: a process of its own, so that it shares no thread with what it measures. Raw
 * sockets, requests made beforehand, and as much of HTTP/1.1 as a fixed-length answer needs. Jobs
 * come over the IPC channel, one at a time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openConnection } from './connection.ts';
import { cpuSecondsOf } from './process-stat.ts';
import { serveJobs } from './worker.ts';

export interface LoadJob {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** Whole requests, base64; the connections start at different places of the list. */
  readonly requests: readonly string[];
  readonly warmUpMs: number;
  /** What ends the measured part. */
  readonly until: { readonly ms: number } | { readonly answers: number };
  readonly refusalMark?: string;
  /** Of the service's certificate, PEM, where it speaks TLS. */
  readonly ca?: string;
  /** Whose processor time is read at both ends of the measured part. */
  readonly serverPid: number;
}

export interface LoadResult {
  readonly answers: number;
  readonly seconds: number;
  readonly serverCpuSeconds: number;
  /** Near `seconds`, the generator is what limits. */
  readonly generatorCpuSeconds: number;
  readonly latencyMs: { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
  /** Of the warm-up too. */
  readonly failures: number;
  /** Status and body, or what became of the connection. */
  readonly firstFailure?: string;
}

async function runLoad({ host, port, connections, requests: encoded, warmUpMs, until, refusalMark, ca, serverPid }: LoadJob): Promise<LoadResult> {
  const requests = encoded.map((request) => Buffer.from(request, 'base64'));
  const mark = refusalMark === undefined ? undefined : Buffer.from(refusalMark);
  const latencies = createLatencies();
  const answersMax = 'answers' in until ? until.answers : Infinity;
  let isMeasuring = false;
  const enough = Promise.withResolvers<void>();
  let failures = 0;
  let firstFailure: string | undefined;

  const open = await Promise.all(Array.from({ length: connections }, (_, index) => openConnection({
    host, port, ca, requests, refusalMark: mark,
    firstRequest: Math.floor((index * requests.length) / connections),
    onAnswer(latencyMs) {
      if (isMeasuring && latencies.push(latencyMs) >= answersMax) enough.resolve();
    },
    onFailure(what) {
      failures++;
      // A count of answers may never be reached when connections fail.
      enough.resolve();
      firstFailure ??= what;
    },
  })));
  for (const connection of open) connection.start();
  await sleep(warmUpMs);

  const cpuBefore = cpuSecondsOf(serverPid);
  const ownBefore = process.cpuUsage();
  const startedAt = performance.now();
  isMeasuring = true;
  await ('ms' in until ? sleep(until.ms) : enough.promise);
  isMeasuring = false;
  const seconds = (performance.now() - startedAt) / 1000;
  const serverCpuSeconds = cpuSecondsOf(serverPid) - cpuBefore;
  const own = process.cpuUsage(ownBefore);
  await Promise.all(open.map((connection) => connection.stop()));

  return {
    answers: latencies.count(), seconds, serverCpuSeconds, generatorCpuSeconds: (own.user + own.system) / 1e6,
    latencyMs: latencies.summary(), failures, ...(firstFailure !== undefined && { firstFailure }),
  };
}

/** Every latency as it was: percentiles are exact, and a window of a minute is a few megabytes. */
function createLatencies() {
  let values = new Float64Array(1 << 16);
  let count = 0;
  return {
    push(ms: number): number {
      if (count === values.length) {
        const larger = new Float64Array(2 * count);
        larger.set(values);
        values = larger;
      }
      values[count++] = ms;
      return count;
    },
    count: () => count,
    summary(): LoadResult['latencyMs'] {
      const sorted = values.subarray(0, count).sort();
      const at = (share: number): number => sorted[Math.min(count - 1, Math.floor(share * count))] ?? 0;
      return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
    },
  };
}

serveJobs(runLoad);
