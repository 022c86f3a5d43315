import type { TSchema } from 'typebox';
import type { Route } from './routes.ts';
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
    },
    paths,
  };
}

function operationOf({ method, path, summary, status, body, query, answer }: Route): object {
  const refused = { description: 'A refusal, by the error table', content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } };
  return {
    summary,
    operationId: `${method.toLowerCase()}${path.replace(/[/{}]+(\w?)/g, (_all, letter: string) => letter.toUpperCase())}`,
    parameters: [...(path.includes('{kid}') ? [kidParameter] : []), ...(query === undefined ? [] : queryParameters(query))],
    ...(body && { requestBody: { required: true, content: { 'application/json': { schema: plain(body) } } } }),
    responses: {
      [status]: { description: 'Done', content: { 'application/json': { schema: plain(answer) } } },
      default: refused,
    },
  };
}

const kidParameter = {
  name: 'kid', in: 'path', required: true, schema: { type: 'string' },
  description: 'the whole kid, percent-encoded as one segment; or its four parts as four segments',
};

function queryParameters(query: TSchema): readonly object[] {
  const { properties } = plain(query) as { properties: Record<string, { description?: string }> };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}

/** The schema as plain JSON, without the marks of the schema builder. */
function plain(schema: TSchema): object {
  return JSON.parse(JSON.stringify(schema)) as object;
}
