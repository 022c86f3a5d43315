import type { TSchema } from 'typebox';
import type { Route } from './routes.ts';
import { errorTable } from '../core/errors.ts';
import { isMedia } from './routes.ts';
import { ErrorAnswer } from './schemas.ts';

/** OpenAPI 3.1, whose schemas are JSON Schema: the very ones that validate. Made once, when it is first asked for. */
export function makeOpenapi(routes: readonly Route[], basePath: string, version: string): () => object {
  let document: object | undefined;
  return () => (document ??= build(routes, basePath, version));
}

function build(routes: readonly Route[], basePath: string, version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = basePath + route.path;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'ron-kms', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    security: [{ capability: [] }],
    components: {
      securitySchemes: { capability: { type: 'http', scheme: 'bearer', bearerFormat: 'macaroon' } },
      schemas: { Error: plain(ErrorAnswer) },
      responses: refusalResponses(),
    },
    paths,
  };
}

function operationOf({ method, path, summary, status, body, query, params, answer }: Route): object {
  return {
    summary,
    operationId: `${method.toLowerCase()}${path.replace(/[/{}]+(\w?)/g, (_all, letter: string) => letter.toUpperCase())}`,
    parameters: [
      ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => pathParameter(name, params)),
      ...(query === undefined ? [] : propertiesOf(query).map(([name, schema]) => ({ name, in: 'query', required: false, schema }))),
    ],
    ...(body && { requestBody: { required: true, content: { 'application/json': { schema: plain(body) } } } }),
    responses: { [status]: { description: 'Done', content: contentOf(answer) }, ...refusalsOf(body !== undefined) },
  };
}

/** Of calls with a body alone. */
const OF_BODIES: ReadonlySet<number> = new Set([409, 413]);

/** Every status of the error table, with its codes. */
function refusals(): ReadonlyMap<number, readonly string[]> {
  const codes = new Map<number, string[]>();
  for (const [code, { statuses }] of Object.entries(errorTable)) for (const status of statuses) codes.set(status, [...codes.get(status) ?? [], code]);
  return codes;
}

function refusalName(status: number): string {
  return `Refused${status}`;
}

function refusalResponses(): Readonly<Record<string, object>> {
  const content = { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } };
  return Object.fromEntries([...refusals()].map(([status, codes]) => [refusalName(status), { description: codes.join(', '), content }]));
}

/** Those that a call may be refused with, and no other. */
function refusalsOf(hasBody: boolean): Readonly<Record<string, object>> {
  const statuses = [...refusals().keys()].filter((status) => hasBody || !OF_BODIES.has(status));
  return Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/${refusalName(status)}` }]));
}

function contentOf(answer: Route['answer']): object {
  return isMedia(answer) ? { [answer.contentType]: {} } : { 'application/json': { schema: plain(answer) } };
}

/** What of a path no schema describes: it is parsed by itself. */
const parsedParameters: Readonly<Record<string, string>> = {
  kid: 'the whole kid, percent-encoded as one segment; or its four parts as four segments',
  tile: '<L>/<N>[.p/<W>] or entries/<N>[.p/<W>] of C2SP tlog-tiles, as path segments: 0/x001/067.p/12',
};

function pathParameter(name: string, params: TSchema | undefined): object {
  const [, schema] = params === undefined ? [] : (propertiesOf(params).find(([property]) => property === name) ?? []);
  return { name, in: 'path', required: true, schema: schema ?? { type: 'string' }, ...(Object.hasOwn(parsedParameters, name) && { description: parsedParameters[name] }) };
}

function propertiesOf(schema: TSchema): readonly (readonly [string, object])[] {
  return Object.entries((plain(schema) as { properties: Record<string, object> }).properties);
}

/** The schema as plain JSON, without the marks of the schema builder. */
function plain(schema: TSchema): object {
  return JSON.parse(JSON.stringify(schema)) as object;
}
