import type { Server, ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import { isIPv6 } from 'node:net';
import { peerOf } from './connection.ts';
import { unixPeerOf } from './unix-socket.ts';

/** What a connection may take, whatever comes over it (DESIGN §9). */
export interface EdgeLimits {
  /** For a whole request to arrive. */
  readonly readTimeoutMs: number;
  /** For what was answered to be taken. */
  readonly writeTimeoutMs: number;
  /** Between two requests. */
  readonly idleTimeoutMs: number;
  readonly connectionsMax: number;
  readonly connectionsPerPeerMax: number;
}

/** What is told of connections that are ended for their peer's sake. */
export interface EdgeReport {
  /** One too many, in all or from one peer: closed before anything is read. */
  readonly onTurnedAway: () => void;
  /** Its answers were not read. */
  readonly onSlowReader: (peer: string | undefined) => void;
}

const HEADERS_MAX_BYTES = 16 * 1024;
const CHECKED_EVERY_MS = 1000;

/** How any server of the API reads; Node would answer a missing Host with an empty 400, and it is refused in our envelope. */
export function edgeOptions({ readTimeoutMs }: EdgeLimits): ServerOptions {
  return { requireHostHeader: false, maxHeaderSize: HEADERS_MAX_BYTES, headersTimeout: readTimeoutMs, connectionsCheckingInterval: Math.min(CHECKED_EVERY_MS, readTimeoutMs) };
}

/** The connections of a server. */
export interface Edge {
  /** Ends all of them, those too whose handshake is under way. */
  cutOff(): void;
}

/** Caps the connections of a server, and ends those that do not read what they asked for. */
export function guardEdge(server: Server, limits: EdgeLimits, report: EdgeReport): Edge {
  const open = capConnections(server, limits, report);
  cutSlowReaders(server, limits, report);
  return {
    cutOff() {
      for (const socket of open) socket.destroy();
    },
  };
}

/** Gives those that are open. */
function capConnections(server: Server, { connectionsMax, connectionsPerPeerMax }: EdgeLimits, { onTurnedAway }: EdgeReport): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.maxConnections = connectionsMax;
  server.on('drop', onTurnedAway);
  const perPeer = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const peer = unixPeerOf({ socket }) ?? networkOf(peerOf({ socket }) ?? '');
    const open = (perPeer.get(peer) ?? 0) + 1;
    if (open > connectionsPerPeerMax) {
      onTurnedAway();
      socket.destroy();
      return;
    }
    perPeer.set(peer, open);
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      const left = (perPeer.get(peer) ?? 1) - 1;
      if (left === 0) perPeer.delete(peer);
      else perPeer.set(peer, left);
    });
  });
  return sockets;
}

/** What a connection has been given and has not taken yet. */
interface Owed {
  /** How many bytes it was given in all, when this was looked at first. */
  readonly given: number;
  readonly sinceMs: number;
}

/**
 * Ends connections whose peer has not taken within the deadline what stood ready for it. Looked at from time to time and not
 * at each write: that costs nothing on the way of an answer, and one byte now and then makes no progress.
 */
function cutSlowReaders(server: Server, { writeTimeoutMs }: EdgeLimits, { onSlowReader }: EdgeReport): void {
  const sockets = new Map<Socket, Owed | undefined>();
  const isTls = 'setSecureContext' in server;
  server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.set(socket, undefined);
    socket.once('close', () => sockets.delete(socket));
  });

  const look = (): void => {
    const nowMs = performance.now();
    for (const [socket, owed] of sockets) {
      const taken = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0) sockets.set(socket, undefined);
      else if (owed === undefined || taken >= owed.given) sockets.set(socket, { given: socket.bytesWritten, sinceMs: nowMs });
      else if (nowMs - owed.sinceMs >= writeTimeoutMs) {
        onSlowReader(peerOf({ socket }));
        socket.destroy();
      }
    }
  };
  const timer = setInterval(look, Math.min(CHECKED_EVERY_MS, writeTimeoutMs)).unref();
  server.once('close', () => clearInterval(timer));
}

/** One peer: an IPv4 address, or the /64 of an IPv6 one, as one host has all of it (RFC 6177). */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail = ''] = (address.split('%')[0] ?? '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const behind = tail === '' ? 0 : tail.split(':').length;
  const left = address.includes('::') ? [...groups, ...Array<string>(Math.max(0, 8 - groups.length - behind)).fill('0'), ...tail.split(':')] : groups;
  return `${left.slice(0, 4).join(':')}::/64`;
}
