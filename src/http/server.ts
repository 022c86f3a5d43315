import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Server, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authenticate } from '../service/authenticate.ts';
import type { Op } from '../core/log/entry.ts';
import type { Caller } from '../service/call.ts';
import type { Operations } from '../service/operations.ts';
import type { UnpackLimits } from './content-encoding.ts';
import type { Edge, EdgeLimits } from './edge.ts';
import type { TlsSettings } from './tls.ts';
import type { Media, Route } from './routes.ts';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import Fastify from 'fastify';
import { KmsError } from '../core/errors.ts';
import { parseStrictJson } from '../core/strict-json.ts';
import { bearerOf, corrIdOf, parseQuery, peerOf, traceParentOf, wayIn } from './connection.ts';
import { createUnpack } from './content-encoding.ts';
import { makeDoor } from './door.ts';
import { edgeOptions, guardEdge } from './edge.ts';
import { errorOf } from './errors.ts';
import { makeOpenapi } from './openapi.ts';
import { readOff } from './read-off.ts';
import { makeRefuseBroken, strangerOf } from './refuse-broken.ts';
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
  /** A UUID: the id of a request, and of what it belongs to where it does not say. */
  readonly newId: () => string;
  readonly limits: HttpLimits;
  /** `observability.log_inputs`, as it stands. */
  readonly isLoggingInputs: () => boolean;
  readonly version: string;
  /** Left out: plain HTTP. */
  readonly tls?: TlsSettings;
}

type HttpLimits = UnpackLimits & EdgeLimits;

/** The API, ready to listen. */
export interface HttpApi {
  readonly app: FastifyInstance;
  /** A server of the same requests with the same manners, to listen elsewhere; in the clear. */
  another(): Promise<Server>;
  /** Ends every connection there is, whatever is under way on it. */
  cutOff(): void;
}

const PATH_SEGMENT_MAX = 512;
/** By the client alone: it took a token to see it. */
const CACHED_FOR_GOOD = 'private, max-age=31536000, immutable';
const ANY_METHOD = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** The API over HTTP. It routes, parses and renders; it decides nothing. */
export function createHttpServer(deps: HttpDeps): HttpApi {
  const { operations, authenticate, telemetry, newId, limits, isLoggingInputs, version, tls } = deps;
  const options = { ...edgeOptions(limits), requestTimeout: limits.readTimeoutMs, keepAliveTimeout: limits.idleTimeoutMs };
  const door = makeDoor({ operations, telemetry, newId });
  const app = Fastify({
    bodyLimit: limits.bodyMaxBytes,
    routerOptions: { maxParamLength: PATH_SEGMENT_MAX, querystringParser: parseQuery },
    serverFactory: (handle) => (tls === undefined ? createServer(options, door.before(handle)) : createTlsServer({ ...options, ...tlsOptions(tls, limits.readTimeoutMs) }, door.before(handle))),
    genReqId: newId,
    frameworkErrors: (fault, request, reply) => { void refuse(fault, request, reply); },
    clientErrorHandler: (fault, socket) => { void broken.refuse(fault, socket); },
    logger: false,
    exposeHeadRoutes: false,
    // What comes over a connection that is open still is done: it is closed behind its answer.
    return503OnClosing: false,
  });

  /** The entry first, then the answer (DESIGN §8); an operation has seen to its own. */
  const refuse = async (fault: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const refusal = errorOf(fault);
    door.note(request.raw, refusal, request.caller);
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

  const broken = makeRefuseBroken({ operations, telemetry, newId });

  if (tls !== undefined) watchHandshakes(app.server as HttpsServer, () => telemetry.event('warn', 'tls_handshake_failed'));
  const edges: Edge[] = [];
  const dress = (server: Server): void => {
    edges.push(guardEdge(server, limits, {
      onTurnedAway: () => telemetry.turnedAway('connections'),
      onSlowReader: (peer) => telemetry.event('warn', 'slow_reader_cut', peer === undefined ? {} : { peer }),
    }));
    server.on('checkExpectation', (_request, response: ServerResponse) => {
      if (response.socket !== null) void broken.refuse(new KmsError('BadRequest', { hint: 'of the Expect header only 100-continue is known' }), response.socket);
    });
  };
  dress(app.server);
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
    broken.noteBegun(reply.raw);
    reply.headers(idsOf(request));
    done(strayOf(request));
  });
  let isStopping = false;
  app.addHook('preClose', (done) => {
    isStopping = true;
    done();
  });
  // Of those that came before it, too.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isStopping) reply.header('connection', 'close');
    done(null, payload);
  });

  const routes = makeRoutes(operations);
  const noteInputs = (request: FastifyRequest, _reply: FastifyReply, done: () => void): void => {
    if (isLoggingInputs()) telemetry.event('info', 'inputs', { corr_id: corrIdOf(request), request_id: request.id, path: request.routeOptions.url ?? '', inputs: lengthsOf(request.body) });
    done();
  };
  const authenticated = async (request: FastifyRequest): Promise<void> => {
    request.caller = await authenticate(bearerOf(request), { ...wayIn(request), corrId: corrIdOf(request), requestId: request.id, traceParent: traceParentOf(request) });
  };
  for (const route of routes) {
    for (const url of urlsOf(route)) {
      app.route<{ Params: Record<string, string> }>({
        method: route.isOfAnyMethod ? [...ANY_METHOD] : route.method,
        url,
        schema: { ...(route.body && { body: route.body }), ...(route.params && { params: route.params }), querystring: route.query ?? NoQuery },
        ...(route.op && { config: { op: route.op } }),
        onRequest: authenticated,
        preHandler: noteInputs,
        handler: isMedia(route.answer) ? mediaHandler(route, route.answer) : jsonHandler(route),
      });
    }
  }
  const openapi = makeOpenapi(routes, BASE_PATH, version);
  app.get('/openapi.json', async () => openapi());
  app.get(`${BASE_PATH}/openapi.json`, async () => openapi());
  return {
    app,
    async another() {
      await app.ready();
      const server = createServer(options, door.before(app.routing));
      server.on('clientError', (fault, socket) => { void broken.refuse(fault, socket as Socket); });
      dress(server);
      return server;
    },
    cutOff() {
      for (const edge of edges) edge.cutOff();
    },
  };
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

type Handler = (request: FastifyRequest<{ Params: Record<string, string> }>, reply: FastifyReply) => Promise<object | string>;

function jsonHandler({ status, handle, headersOf }: Route): Handler {
  if (headersOf === undefined) return async (request, reply) => {
    reply.code(status);
    return handle(callerOf(request), request);
  };
  return async (request, reply) => {
    const answer = await handle(callerOf(request), request);
    reply.code(status).headers(headersOf(answer as object));
    return answer;
  };
}

/** Says what the answer is once there is one: a refusal is JSON as ever. */
function mediaHandler(route: Route, { contentType, isImmutable }: Media): Handler {
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

/** The names of a body's fields, and how long each is: characters, items or members. The schema has passed, so the names are ours. */
function lengthsOf(body: unknown): string {
  return Object.entries(body ?? {}).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'string' || Array.isArray(value)) return `${name}:${value.length}`;
    return typeof value === 'object' && value !== null ? `${name}:${Object.keys(value).length}` : name;
  }).join(' ');
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
