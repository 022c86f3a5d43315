import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { clientCertificateOf } from './tls.ts';
import { unixPeerOf } from './unix-socket.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const BEARER = 'bearer ';
const MAPPED = '::ffff:';

export function bearerOf(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization;
  return header?.slice(0, BEARER.length).toLowerCase() === BEARER ? header.slice(BEARER.length).trim() : undefined;
}

/** The caller's `X-Corr-ID` when it is a UUID, else the id of the request. */
export function corrIdOf(request: FastifyRequest): string {
  return corrIdFrom(request, request.id);
}

export function corrIdFrom({ headers: { 'x-corr-id': given } }: Pick<IncomingMessage, 'headers'>, requestId: string): string {
  return typeof given === 'string' && UUID.test(given) ? given.toLowerCase() : requestId;
}

/** Where the caller traces its calls; what it says is read by who collects traces, if anybody does. */
export function traceParentOf({ headers: { traceparent } }: FastifyRequest): string | undefined {
  return typeof traceparent === 'string' ? traceparent : undefined;
}

/** The address of the other end; an IPv4 one as itself where the socket speaks IPv6. */
export function peerOf({ socket }: { readonly socket: Socket }): string | undefined {
  const address = socket.remoteAddress;
  return address?.startsWith(MAPPED) === true && address.includes('.') ? address.slice(MAPPED.length) : address;
}

/** How a request came in. */
export interface WayIn {
  readonly peer: string | undefined;
  readonly via: string;
  readonly certificateSha256: string | undefined;
}

export function wayIn({ socket }: { readonly socket: Socket }): WayIn {
  const unixPeer = unixPeerOf({ socket });
  if (unixPeer !== undefined) return { peer: undefined, via: unixPeer, certificateSha256: undefined };
  const certificate = clientCertificateOf({ socket });
  const via = certificate !== undefined ? `mtls:${certificate.name ?? certificate.sha256}` : 'encrypted' in socket ? 'tls' : 'tcp';
  return { peer: peerOf({ socket }), via, certificateSha256: certificate?.sha256 };
}

/** A query string in which `+` is itself, as in a path: kids contain it. A key that stands twice becomes a list, which no schema takes. */
export function parseQuery(text: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = Object.create(null) as Record<string, never>;
  if (text === '') return query;
  for (const [name, value] of new URLSearchParams(text.replaceAll('+', '%2B'))) query[name] = name in query ? [value] : value;
  return query;
}
