/**
 * Load that does not wait for its answers: requests leave when their time has come, and what an answer took counts from then,
 * also where no connection was free (so a service that is late cannot hide it). A process of its own; one job at a time.
 */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSecondsOf, rssMibOf } from './process-stat.ts';
import { serveJobs } from './worker.ts';

interface Stream {
  readonly name: string;
  readonly perSecond: number;
  readonly connections: number;
  /** Whole requests, base64, taken in turn. */
  readonly requests: readonly string[];
}

export interface OpenLoopJob {
  readonly host: string;
  readonly port: number;
  readonly serverPid: number;
  readonly streams: readonly Stream[];
  readonly warmUpMs: number;
  readonly ms: number;
}

interface Latencies {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface StreamResult {
  readonly name: string;
  /** Milliseconds. */
  readonly accepted: Latencies;
  readonly refused: Latencies;
  /** Neither 2xx nor 429, and connections that ended. */
  readonly failures: number;
  /** The first of them, in words. */
  readonly firstFailure?: string;
  /** Requests whose time had come and that were not answered. */
  readonly unanswered: number;
}

export interface OpenLoopResult {
  readonly seconds: number;
  readonly serverCpuSeconds: number;
  readonly generatorCpuSeconds: number;
  readonly rssMib: readonly [firstHalf: number, secondHalf: number];
  readonly streams: readonly StreamResult[];
}

const TICK_MS = 1;
const SAMPLE_MS = 50;

async function run({ host, port, serverPid, streams, warmUpMs, ms }: OpenLoopJob): Promise<OpenLoopResult> {
  const running = await Promise.all(streams.map((stream) => openStream(host, port, stream)));
  for (const stream of running) stream.start();
  await sleep(warmUpMs);

  const [cpuBefore, ownBefore, startedAt] = [cpuSecondsOf(serverPid), process.cpuUsage(), performance.now()];
  const rss: [number, number] = [0, 0];
  const sampling = setInterval(() => {
    const half = performance.now() - startedAt < ms / 2 ? 0 : 1;
    rss[half] = Math.max(rss[half], rssMibOf(serverPid));
  }, SAMPLE_MS);
  for (const stream of running) stream.measure();
  await sleep(ms);
  const results = running.map((stream) => stream.stop());
  clearInterval(sampling);
  const own = process.cpuUsage(ownBefore);
  return {
    seconds: (performance.now() - startedAt) / 1000, serverCpuSeconds: cpuSecondsOf(serverPid) - cpuBefore,
    generatorCpuSeconds: (own.user + own.system) / 1e6, rssMib: rss, streams: results,
  };
}

interface Connection {
  send(request: Buffer, dueAt: number): void;
}

async function openStream(host: string, port: number, { name, perSecond, connections, requests: encoded }: Stream) {
  const requests = encoded.map((request) => Buffer.from(request, 'base64'));
  const free: Connection[] = [];
  const backlog: number[] = [];
  const sockets: Socket[] = [];
  let [isMeasuring, next, failures, isOver] = [false, 0, 0, false];
  let firstFailure: string | undefined;
  const fail = (what: string): void => {
    failures++;
    firstFailure ??= what;
  };
  const accepted: number[] = [];
  const refused: number[] = [];

  const nextRequest = (): Buffer => requests[next++ % requests.length] as Buffer;
  const onAnswer = (status: number, tookMs: number, connection: Connection): void => {
    if (isMeasuring) {
      if (status >= 200 && status < 300) accepted.push(tookMs);
      else if (status === 429) refused.push(tookMs);
      else fail(`answered ${status}`);
    }
    const due = backlog.shift();
    if (due === undefined) free.push(connection);
    else connection.send(nextRequest(), due);
  };
  for (let i = 0; i < connections; i++) {
    const { socket, connection } = await openConnection(host, port, onAnswer, () => { if (!isOver) fail('the service closed a connection'); });
    sockets.push(socket);
    free.push(connection);
  }

  let timer: NodeJS.Timeout | undefined;
  return {
    start() {
      const startedAt = performance.now();
      let sent = 0;
      timer = setInterval(() => {
        for (const due = ((performance.now() - startedAt) / 1000) * perSecond; sent < due; sent++) {
          const dueAt = startedAt + (sent / perSecond) * 1000;
          const connection = free.shift();
          if (connection === undefined) backlog.push(dueAt);
          else connection.send(nextRequest(), dueAt);
        }
      }, TICK_MS);
    },
    measure() { isMeasuring = true; },
    stop(): StreamResult {
      isMeasuring = false;
      isOver = true;
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
      return { name, accepted: summary(accepted), refused: summary(refused), failures, ...(firstFailure !== undefined && { firstFailure }), unanswered: backlog.length };
    },
  };
}

const STATUS_AT = 'HTTP/1.1 '.length;

async function openConnection(host: string, port: number, onAnswer: (status: number, tookMs: number, connection: Connection) => void, onEnd: () => void): Promise<{ readonly socket: Socket; readonly connection: Connection }> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, 'connect');
  let dueAt = 0;
  let held: Buffer = Buffer.alloc(0);
  const connection: Connection = {
    send(request, due) {
      dueAt = due;
      socket.write(request);
    },
  };
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const bodyAt = held.indexOf('\r\n\r\n');
    if (bodyAt < 0) return;
    const head = held.toString('latin1', 0, bodyAt);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    if (held.length < bodyAt + 4 + length) return;
    held = Buffer.alloc(0);
    onAnswer(Number(head.slice(STATUS_AT, STATUS_AT + 3)), performance.now() - dueAt, connection);
  });
  socket.on('error', () => undefined);
  socket.once('close', onEnd);
  return { socket, connection };
}

function summary(values: number[]): Latencies {
  values.sort((a, b) => a - b);
  const at = (share: number): number => values[Math.min(values.length - 1, Math.floor(share * values.length))] ?? 0;
  return { count: values.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

serveJobs(run);
