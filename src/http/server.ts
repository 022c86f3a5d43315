import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authenticate } from '../service/authenticate.ts';
import type { Caller } from '../service/call.ts';
import type { Operations } from '../service/operations.ts';
import type { Route } from './routes.ts';
import Fastify from 'fastify';
import { KmsError } from '../core/errors.ts';
import { parseStrictJson } from '../core/strict-json.ts';
import { bearerOf, corrIdOf, parseQuery, peerOf } from './connection.ts';
import { errorOf } from './errors.ts';
import { makeOpenapi } from './openapi.ts';
import { readOff } from './read-off.ts';
import { renderError } from './render.ts';
import { makeRoutes } from './routes.ts';
import { NoQuery } from './schemas.ts';
import { createValidators } from './validators.ts';

const BASE_PATH = '/v1/kms';

export interface HttpDeps {
  readonly operations: Operations;
  readonly authenticate: Authenticate;
  readonly telemetry: Telemetry;
  readonly random: Random;
  readonly limits: HttpLimits;
  readonly version: string;
}

interface HttpLimits {
  readonly bodyMaxBytes: number;
  readonly readTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly connectionsMax: number;
  readonly connectionsPerPeerMax: number;
}

const HEADERS_MAX_BYTES = 16 * 1024;
const PATH_SEGMENT_MAX = 512;
const ANY_METHOD = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** The API as a fastify instance, ready to listen. It routes, parses and renders; it decides nothing. */
export function createHttpServer(deps: HttpDeps): FastifyInstance {
  const { operations, authenticate, telemetry, random, limits, version } = deps;
  const app = Fastify({
    bodyLimit: limits.bodyMaxBytes,
    requestTimeout: limits.readTimeoutMs,
    keepAliveTimeout: limits.idleTimeoutMs,
    routerOptions: { maxParamLength: PATH_SEGMENT_MAX, querystringParser: parseQuery },
    // Node would answer a missing Host with an empty 400; it is refused below, in our envelope.
    http: { requireHostHeader: false, maxHeaderSize: HEADERS_MAX_BYTES, headersTimeout: limits.readTimeoutMs, connectionsCheckingInterval: Math.min(1000, limits.readTimeoutMs) },
    genReqId: () => random.uuidv7(),
    frameworkErrors: (fault, request, reply) => { refuse(fault, request, reply); },
    clientErrorHandler: (fault, socket) => refuseBroken(fault, socket),
    logger: false,
    exposeHeadRoutes: false,
  });

  const refuse = (fault: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const refusal = errorOf(fault);
    if (!refusal.isReported) telemetry.refused({ refusal, requestId: request.id, corrId: corrIdOf(request), peer: peerOf(request) });
    reply.headers(idsOf(request));
    if (refusal.status === 401) reply.header('www-authenticate', 'Bearer');
    if (refusal.retryAfterS !== undefined) reply.header('retry-after', refusal.retryAfterS);
    return reply.code(refusal.status).send(renderError(refusal, request.id));
  };

  /** What is not even HTTP gets the same envelope, and the connection is closed. */
  const refuseBroken = (fault: Error, socket: Socket): void => {
    const requestId = random.uuidv7();
    const refusal = errorOf(fault);
    telemetry.refused({ refusal, requestId, corrId: requestId, peer: socket.remoteAddress });
    if (socket.writable) socket.end(rawAnswer(refusal, requestId));
    else socket.destroy();
  };

  capConnections(app, limits);
  app.server.on('checkExpectation', (_request, response: ServerResponse) => {
    if (response.socket !== null) refuseBroken(new KmsError('BadRequest', { hint: 'of the Expect header only 100-continue is known' }), response.socket);
  });
  app.decorateRequest('caller');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body: Buffer, done) => {
    try {
      done(null, parseStrictJson(body));
    } catch (fault) {
      done(KmsError.from(fault));
    }
  });
  app.setValidatorCompiler(createValidators());
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler(async (fault, request, reply) => {
    await readOff(request.raw);
    return refuse(fault, request, reply);
  });
  app.setNotFoundHandler((request, reply) => refuse(new KmsError('NotFound'), request, reply));
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(idsOf(request));
    done(strayOf(request));
  });

  const routes = makeRoutes(operations);
  const authenticated = async (request: FastifyRequest): Promise<void> => {
    request.caller = await authenticate(bearerOf(request), { peer: peerOf(request), via: 'tcp', corrId: corrIdOf(request), requestId: request.id });
    if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') throw new KmsError('BadRequest', { hint: 'compressed bodies are not accepted' });
  };
  for (const route of routes) {
    for (const url of urlsOf(route)) {
      app.route<{ Params: Record<string, string> }>({
        method: route.isOfAnyMethod ? [...ANY_METHOD] : route.method,
        url,
        schema: { ...(route.body && { body: route.body }), querystring: route.query ?? NoQuery },
        onRequest: authenticated,
        handler: async (request, reply) => {
          reply.code(route.status);
          return route.handle(callerOf(request), request);
        },
      });
    }
  }
  const openapi = makeOpenapi(routes, BASE_PATH, version);
  app.get('/openapi.json', async () => openapi());
  app.get(`${BASE_PATH}/openapi.json`, async () => openapi());
  return app;
}

declare module 'fastify' {
  interface FastifyRequest {
    caller?: Caller;
  }
}

function callerOf({ caller }: FastifyRequest): Caller {
  if (caller === undefined) throw new Error('a route is reached by authenticated callers only');
  return caller;
}

/** A kid is four path segments, or one with the slashes encoded. */
function urlsOf({ path }: Route): readonly string[] {
  return path.includes('{kid}')
    ? [':tenant/:purpose/:alg/:id', ':kid'].map((kid) => BASE_PATH + path.replace('{kid}', kid))
    : [BASE_PATH + path];
}

/** More connections than allowed, in all or from one peer, are closed before anything is read. */
function capConnections(app: FastifyInstance, { connectionsMax, connectionsPerPeerMax }: HttpLimits): void {
  app.server.maxConnections = connectionsMax;
  const perPeer = new Map<string, number>();
  app.server.on('connection', (socket: Socket) => {
    const peer = socket.remoteAddress ?? '';
    const open = (perPeer.get(peer) ?? 0) + 1;
    if (open > connectionsPerPeerMax) {
      socket.destroy();
      return;
    }
    perPeer.set(peer, open);
    socket.once('close', () => {
      const left = (perPeer.get(peer) ?? 1) - 1;
      if (left === 0) perPeer.delete(peer);
      else perPeer.set(peer, left);
    });
  });
}

/** The last answer of a connection on which no request came together. */
function rawAnswer(refusal: KmsError, requestId: string): string {
  const body = JSON.stringify(renderError(refusal, requestId));
  const head = [
    `HTTP/1.1 ${refusal.status} ${refusal.code}`, 'content-type: application/json; charset=utf-8', `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`, `x-corr-id: ${requestId}`, 'connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

/** What is wrong with a request before anyone asks who sent it. */
function strayOf(request: FastifyRequest): KmsError | undefined {
  if (request.is404) return new KmsError('NotFound');
  if (request.headers.host === undefined && request.raw.httpVersion !== '1.0') return new KmsError('BadRequest', { hint: 'the Host header is missing' });
  return undefined;
}

function idsOf(request: FastifyRequest): Readonly<Record<string, string>> {
  return { 'x-request-id': request.id, 'x-corr-id': corrIdOf(request), 'cache-control': 'no-store' };
}
