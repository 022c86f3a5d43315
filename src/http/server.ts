import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authenticate } from '../service/authenticate.ts';
import type { Op } from '../core/log/entry.ts';
import type { Caller } from '../service/call.ts';
import type { Operations } from '../service/operations.ts';
import type { Stranger } from '../service/refusals.ts';
import type { UnpackLimits } from './content-encoding.ts';
import type { WayIn } from './connection.ts';
import type { TlsSettings } from './tls.ts';
import type { Media, Route } from './routes.ts';
import Fastify from 'fastify';
import { KmsError } from '../core/errors.ts';
import { parseStrictJson } from '../core/strict-json.ts';
import { bearerOf, corrIdOf, parseQuery, peerOf, wayIn } from './connection.ts';
import { createUnpack } from './content-encoding.ts';
import { errorOf } from './errors.ts';
import { makeOpenapi } from './openapi.ts';
import { readOff } from './read-off.ts';
import { renderError } from './render.ts';
import { isMedia, makeRoutes } from './routes.ts';
import { NoQuery } from './schemas.ts';
import { tlsOptions, watchHandshakes } from './tls.ts';
import { createValidators } from './validators.ts';

const BASE_PATH = '/v1/kms';

export interface HttpDeps {
  readonly operations: Operations;
  readonly authenticate: Authenticate;
  readonly telemetry: Telemetry;
  readonly random: Random;
  readonly limits: HttpLimits;
  readonly version: string;
  /** Left out: plain HTTP. */
  readonly tls?: TlsSettings;
}

interface HttpLimits extends UnpackLimits {
  readonly readTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly connectionsMax: number;
  readonly connectionsPerPeerMax: number;
}

const HEADERS_MAX_BYTES = 16 * 1024;
const PATH_SEGMENT_MAX = 512;
/** By the client alone: it took a token to see it. */
const CACHED_FOR_GOOD = 'private, max-age=31536000, immutable';
const ANY_METHOD = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** The API as a fastify instance, ready to listen. It routes, parses and renders; it decides nothing. */
export function createHttpServer(deps: HttpDeps): FastifyInstance {
  const { operations, authenticate, telemetry, random, limits, version, tls } = deps;
  // Node would answer a missing Host with an empty 400; it is refused below, in our envelope.
  const http = { requireHostHeader: false, maxHeaderSize: HEADERS_MAX_BYTES, headersTimeout: limits.readTimeoutMs, connectionsCheckingInterval: Math.min(1000, limits.readTimeoutMs) };
  const app = Fastify({
    bodyLimit: limits.bodyMaxBytes,
    requestTimeout: limits.readTimeoutMs,
    keepAliveTimeout: limits.idleTimeoutMs,
    routerOptions: { maxParamLength: PATH_SEGMENT_MAX, querystringParser: parseQuery },
    ...(tls === undefined ? { http } : { https: { ...http, ...tlsOptions(tls, limits.readTimeoutMs) } }),
    genReqId: () => random.uuidv7(),
    frameworkErrors: (fault, request, reply) => { void refuse(fault, request, reply); },
    clientErrorHandler: (fault, socket) => { void refuseBroken(fault, socket); },
    logger: false,
    exposeHeadRoutes: false,
  });

  /** The entry first, then the answer (DESIGN §8); an operation has seen to its own. */
  const refuse = async (fault: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const refusal = errorOf(fault);
    if (!refusal.isReported) {
      const { id, caller } = request;
      telemetry.refused({ refusal, requestId: id, corrId: corrIdOf(request), peer: peerOf(request) });
      await operations.refused(refusal, caller ?? strangerOf(id, wayIn(request)), request.routeOptions.config.op);
    }
    reply.headers(idsOf(request));
    if (refusal.status === 401) reply.header('www-authenticate', 'Bearer');
    if (refusal.retryAfterS !== undefined) reply.header('retry-after', refusal.retryAfterS);
    return reply.code(refusal.status).send(renderError(refusal, request.id));
  };

  /** What is not even HTTP gets the same envelope, and the connection is closed. */
  const refuseBroken = async (fault: Error, socket: Socket): Promise<void> => {
    const requestId = random.uuidv7();
    const refusal = errorOf(fault);
    const peer = peerOf({ socket });
    telemetry.refused({ refusal, requestId, corrId: requestId, peer });
    await operations.refused(refusal, strangerOf(requestId, wayIn({ socket })));
    if (socket.writable) socket.end(rawAnswer(refusal, requestId));
    else socket.destroy();
  };

  if (tls !== undefined) watchHandshakes(app.server as HttpsServer, () => telemetry.event('warn', 'tls_handshake_failed'));
  capConnections(app, limits);
  app.server.on('checkExpectation', (_request, response: ServerResponse) => {
    if (response.socket !== null) void refuseBroken(new KmsError('BadRequest', { hint: 'of the Expect header only 100-continue is known' }), response.socket);
  });
  app.decorateRequest('caller');
  app.removeAllContentTypeParsers();
  const unpack = createUnpack(limits);
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, ({ headers: { 'content-encoding': encoding = 'identity' } }, body: Buffer, done) => {
    const parse = (plain: Buffer): void => {
      try {
        done(null, parseStrictJson(plain));
      } catch (fault) {
        done(KmsError.from(fault));
      }
    };
    // A promise for each body would be felt.
    if (encoding === 'identity') parse(body);
    else unpack(encoding, body).then(parse, done);
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
    request.caller = await authenticate(bearerOf(request), { ...wayIn(request), corrId: corrIdOf(request), requestId: request.id });
  };
  for (const route of routes) {
    for (const url of urlsOf(route)) {
      app.route<{ Params: Record<string, string> }>({
        method: route.isOfAnyMethod ? [...ANY_METHOD] : route.method,
        url,
        schema: { ...(route.body && { body: route.body }), ...(route.params && { params: route.params }), querystring: route.query ?? NoQuery },
        ...(route.op && { config: { op: route.op } }),
        onRequest: authenticated,
        handler: isMedia(route.answer) ? mediaHandler(route, route.answer) : async (request, reply) => {
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
  interface FastifyContextConfig {
    /** What a refusal of this route is in the log. */
    op?: Op;
  }
}

function callerOf({ caller }: FastifyRequest): Caller {
  if (caller === undefined) throw new Error('a route is reached by authenticated callers only');
  return caller;
}

/** Says what the answer is once there is one: a refusal is JSON as ever. */
function mediaHandler(route: Route, { contentType, isImmutable }: Media): (request: FastifyRequest<{ Params: Record<string, string> }>, reply: FastifyReply) => Promise<object | string> {
  return async (request, reply) => {
    const answer = await route.handle(callerOf(request), request);
    reply.code(route.status).header('content-type', contentType);
    if (isImmutable) reply.header('cache-control', CACHED_FOR_GOOD);
    return answer;
  };
}

/** How the placeholders of a path are written for the router: a kid is four segments, or one with the slashes encoded. */
const placeholders: Readonly<Record<string, readonly string[]>> = {
  kid: [':tenant/:purpose/:alg/:id', ':kid'],
  index: [':index'],
  tile: ['*'],
};

function urlsOf({ path }: Route): readonly string[] {
  const [braced = '', name = ''] = /\{(\w+)\}/.exec(path) ?? [];
  return (placeholders[name] ?? ['']).map((written) => BASE_PATH + path.replace(braced, written));
}

/** Of a request that nobody has vouched for, nothing that it says of itself is passed on. */
function strangerOf(requestId: string, { via, peer }: Pick<WayIn, 'via' | 'peer'>): Stranger {
  return { corrId: requestId, requestId, actor: { via, peer } };
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
