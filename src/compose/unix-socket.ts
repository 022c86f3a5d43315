import type { Server } from 'node:http';
import type { Settings } from '../config/keys.ts';
import type { HttpApi } from '../http/server.ts';
import { createPeerCredentials, ownUid } from '../adapters/system/peer-credentials.ts';
import { listenOnUnixSocket } from '../http/unix-socket.ts';

/** The API on a Unix socket, where the settings name one. */
export async function openUnixSocket(settings: Settings, api: HttpApi): Promise<Server | undefined> {
  const path = settings['uds.path'];
  if (path === undefined) return undefined;
  const credentialsOf = createPeerCredentials();
  const { 'uds.allow_uids': uids, 'uds.allow_gids': gids } = settings;
  const isAllowed = (uid: number, gid: number): boolean => (uids === undefined && gids === undefined ? uid === ownUid() : uids?.includes(uid) === true || gids?.includes(gid) === true);
  const server = await api.another();
  await listenOnUnixSocket(server, {
    path,
    admit(socket) {
      const found = credentialsOf(socket);
      return found !== undefined && isAllowed(found.uid, found.gid) ? `uds:${found.uid}` : undefined;
    },
  });
  return server;
}
