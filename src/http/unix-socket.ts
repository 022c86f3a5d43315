import type { RequestListener, Server, ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { chmod, mkdir, stat, unlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';

export interface UnixSocketOptions {
  readonly path: string;
  /** The name of the peer in the log; undefined for one that is not let in. */
  readonly admit: (socket: Socket) => string | undefined;
  readonly connectionsMax: number;
  readonly server: ServerOptions;
}

const OWN_DIRECTORY = 0o700;
const OWN_SOCKET = 0o600;
const OTHERS = 0o077;

const peers = new WeakMap<Socket, string>();

/** Who a connection over a Unix socket is from. */
export function unixPeerOf({ socket }: { readonly socket: Socket }): string | undefined {
  return peers.get(socket);
}

/** Serves the same requests over a Unix socket (DESIGN §3), for its owner alone. Throws with what the operator has to do. */
export async function listenOnUnixSocket({ path, admit, connectionsMax, server: options }: UnixSocketOptions, handle: RequestListener): Promise<Server> {
  await mkdir(dirname(path), { recursive: true, mode: OWN_DIRECTORY });
  if (((await stat(dirname(path))).mode & OTHERS) !== 0) throw new Error(`others may enter ${dirname(path)}, where uds.path is: chmod 700 it`);
  await dropStale(path);
  const server = createServer(options, handle);
  server.maxConnections = connectionsMax;
  server.on('connection', (socket: Socket) => {
    const peer = admit(socket);
    if (peer === undefined) socket.destroy();
    else peers.set(socket, peer);
  });
  server.listen(path);
  await once(server, 'listening');
  await chmod(path, OWN_SOCKET);
  return server;
}

/** What a process that was killed has left. One that answers is not ours to take away. */
async function dropStale(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`uds.path, ${path}, is there and is not a socket: choose another`);
  if (await answers(path)) throw new Error(`uds.path, ${path}, is in use: another service listens there`);
  await unlink(path);
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

