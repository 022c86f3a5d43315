/**
 * Connections that take as long as they may: they send a request a byte at a time, or ask and read nothing, each from one of
 * many loopback addresses. Who is cut off comes back at once. A process of its own; one job at a time, which ends with the next.
 */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { serveJobs } from './worker.ts';

export interface SlowPeersJob {
  readonly host: string;
  readonly port: number;
  /** None: those of the job before are closed. */
  readonly connections: number;
  /** A whole request, base64. */
  readonly request: string;
}

/** How many are open by now. */
export interface SlowPeersResult {
  readonly open: number;
}

const BYTE_EVERY_MS = 1000;
/** So many of them open at once: what is measured is how they stay, not how they come. */
const OPENED_PER_TURN = 50;
const TURN_MS = 50;
/** 127.0.1.1 and on; the load comes from 127.0.0.1. */
const ADDRESSES = 200;

let isOn = false;
const open = new Set<Socket>();
let timer: NodeJS.Timeout | undefined;

function openOne(job: SlowPeersJob, request: Buffer, index: number): void {
  const socket = connect({ host: job.host, port: job.port, localAddress: `127.0.1.${1 + (index % ADDRESSES)}`, noDelay: true });
  let sent = 0;
  socket.once('connect', () => {
    open.add(socket);
    // Every second one asks, and never reads the answer.
    if (index % 2 === 1) {
      socket.pause();
      socket.write(request);
      sent = request.length;
    }
  });
  const drip = setInterval(() => {
    if (socket.writable && sent < request.length - 1) socket.write(request.subarray(sent, ++sent));
  }, BYTE_EVERY_MS);
  if (index % 2 === 0) socket.resume();
  socket.on('error', () => undefined);
  socket.once('close', () => {
    clearInterval(drip);
    open.delete(socket);
    if (isOn) setTimeout(() => { if (isOn) openOne(job, request, index); }, TURN_MS);
  });
}

async function run(job: SlowPeersJob): Promise<SlowPeersResult> {
  const request = Buffer.from(job.request, 'base64');
  isOn = job.connections > 0;
  clearInterval(timer);
  if (!isOn) {
    for (const socket of open) socket.destroy();
    return { open: 0 };
  }
  for (let index = 0; index < job.connections;) {
    for (let i = 0; i < OPENED_PER_TURN && index < job.connections; i++) openOne(job, request, index++);
    await new Promise((resolve) => { timer = setTimeout(resolve, TURN_MS); });
  }
  return { open: open.size };
}

serveJobs(run);
