import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { chmod, mkdir, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';

export interface UnixSocketOptions {
  readonly path: string;
  /** The name of the peer in the log; undefined for one that is not let in. */
  readonly admit: (socket: Socket) => string | undefined;
}

const OWN_DIRECTORY = 0o700;
const OWN_SOCKET = 0o600;
const OTHERS = 0o077;

const peers = new WeakMap<Socket, string>();

/** Who a connection over a Unix socket is from. */
export function unixPeerOf({ socket }: { readonly socket: Socket }): string | undefined {
  return peers.get(socket);
}

/** Has a server listen on a Unix socket (DESIGN §3), for its owner alone. Throws with what the operator has to do. */
export async function listenOnUnixSocket(server: Server, { path, admit }: UnixSocketOptions): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: OWN_DIRECTORY });
  if (((await stat(dirname(path))).mode & OTHERS) !== 0) throw new Error(`others may enter ${dirname(path)}, where uds.path is: chmod 700 it`);
  await dropStale(path);
  // Before its connections are counted: that is by who they are from.
  server.prependListener('connection', (socket: Socket) => {
    const peer = admit(socket);
    if (peer === undefined) socket.destroy();
    else peers.set(socket, peer);
  });
  server.listen(path);
  await once(server, 'listening');
  await chmod(path, OWN_SOCKET);
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

