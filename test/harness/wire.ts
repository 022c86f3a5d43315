import type { Duplex } from 'node:stream';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { eventually } from './poll.ts';

/** Where a test connects to, by URL or by the path of a Unix socket. */
export interface Place {
  readonly url?: string;
  readonly socketPath?: string;
  readonly localAddress?: string;
}

/** A connection whose bytes a test sends and reads as they stand. */
export interface Wire {
  send(bytes: string | Buffer): void;
  /** Everything that came so far. */
  text(): string;
  isClosed(): boolean;
  closed(withinMs: number): Promise<void>;
  pause(): void;
  end(): void;
}

export async function openWire({ url, socketPath, localAddress }: Place): Promise<Wire> {
  const { protocol, hostname, port } = url === undefined ? { protocol: 'unix:', hostname: '', port: '' } : new URL(url);
  const at = { host: hostname, port: Number(port), ...(localAddress !== undefined && { localAddress }) };
  const socket: Duplex = socketPath !== undefined ? connectTcp(socketPath) : protocol === 'https:' ? connectTls({ ...at, rejectUnauthorized: false }) : connectTcp(at);
  const seen: Buffer[] = [];
  let isClosed = false;
  socket.on('data', (chunk: Buffer) => seen.push(chunk));
  socket.on('close', () => { isClosed = true; });
  socket.on('error', () => undefined);
  const wire: Wire = {
    send: (bytes) => { socket.write(bytes); },
    text: () => Buffer.concat(seen).toString('latin1'),
    isClosed: () => isClosed,
    closed: async (withinMs) => { await eventually('the connection is closed', withinMs, () => isClosed); },
    pause: () => { socket.pause(); },
    end: () => { socket.destroy(); },
  };
  return wire;
}

/** The status of each whole answer, in their order. */
export function statusesIn(text: string): readonly number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)).filter((status) => status !== 100);
}
