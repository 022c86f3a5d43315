import type { Socket } from 'node:net';
import { dlopen } from 'node:ffi';

/** Who holds the other end of a Unix socket. */
export interface PeerCredentials {
  readonly uid: number;
  readonly gid: number;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `struct ucred` of unix(7): pid, uid, gid, 32 bits each. */
const UCRED_BYTES = 12;

/** Reads SO_PEERCRED; undefined where the kernel does not tell. Throws at once where this is no Linux. */
export function createPeerCredentials(): (socket: Socket) => PeerCredentials | undefined {
  const { functions } = dlopen('libc.so.6', { getsockopt: { arguments: ['int32', 'int32', 'int32', 'pointer', 'pointer'], return: 'int32' } });
  const [credentials, length] = [Buffer.alloc(UCRED_BYTES), Buffer.alloc(4)];
  return (socket) => {
    const fd = fdOf(socket);
    if (fd === undefined) return undefined;
    length.writeUInt32LE(UCRED_BYTES);
    if (functions.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) !== 0 || length.readUInt32LE() !== UCRED_BYTES) return undefined;
    return { uid: credentials.readUInt32LE(4), gid: credentials.readUInt32LE(8) };
  };
}

/** Undefined where users have no numbers. */
export function ownUid(): number | undefined {
  return process.getuid?.();
}

/** Node has no public name for it. */
function fdOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
