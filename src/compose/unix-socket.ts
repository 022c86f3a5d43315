import type { FastifyInstance } from 'fastify';
import type { Server } from 'node:http';
import type { Settings } from '../config/keys.ts';
import { createPeerCredentials, ownUid } from '../adapters/system/peer-credentials.ts';
import { listenOnUnixSocket } from '../http/unix-socket.ts';

/** The API on a Unix socket, where the settings name one. */
export async function openUnixSocket(settings: Settings, api: FastifyInstance): Promise<Server | undefined> {
  const path = settings['uds.path'];
  if (path === undefined) return undefined;
  const credentialsOf = createPeerCredentials();
  const { 'uds.allow_uids': uids, 'uds.allow_gids': gids } = settings;
  const isAllowed = (uid: number, gid: number): boolean => (uids === undefined && gids === undefined ? uid === ownUid() : uids?.includes(uid) === true || gids?.includes(gid) === true);
  await api.ready();
  const readTimeoutMs = settings['read_timeout'];
  return listenOnUnixSocket({
    path,
    admit(socket) {
      const found = credentialsOf(socket);
      return found !== undefined && isAllowed(found.uid, found.gid) ? `uds:${found.uid}` : undefined;
    },
    connectionsMax: settings['max_conns'],
    server: { requireHostHeader: false, requestTimeout: readTimeoutMs, headersTimeout: readTimeoutMs, keepAliveTimeout: settings['idle_timeout'] },
  }, api.routing);
}
