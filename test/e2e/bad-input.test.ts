import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Schema } from '../harness/bad-values.ts';
import type { TestService } from '../harness/service.ts';
import { makeRoutes } from '../../src/http/routes.ts';
import { badBodies, badKids, badQueries, countFields } from '../harness/bad-values.ts';
import { logUntilNow } from '../harness/log.ts';
import { CANARY, faultsOfItem, faultsOfRefusal } from '../harness/refusal.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

/** Every route that exists, from the table that the service serves. */
const routes = makeRoutes({} as Parameters<typeof makeRoutes>[0]);
const withBody = routes.filter(({ body }) => body !== undefined);
const AT_ONCE = 16;
const DIGEST = '0'.repeat(64);
/** Every scope, and every tenant: some calls are for those who may reach all of them. */
const token = tokenOf({ caveats: everything('*') });

let service: TestService;
let operations: readonly { method: string; path: string; bodySchema: Schema | undefined; parameters: { name: string; in: string; schema: Schema }[] }[];
let good: Record<string, Record<string, unknown>>;
let pathKid: string;

beforeAll(async () => {
  service = await startService();
  const document = (await (await fetch(`${service.apiUrl}/openapi.json`)).json()) as Record<string, any>;
  operations = Object.entries(document['paths'] as Record<string, Record<string, any>>).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(), path: path.replace('/v1/kms', ''), parameters: operation.parameters ?? [],
      bodySchema: operation.requestBody?.content['application/json'].schema as Schema | undefined,
    })));

  const [symmetric, target] = await Promise.all([createKey(service, { alg: 'aes-256-gcm' }), createKey(service, { alg: 'ml-dsa' })]);
  pathKid = encodeURIComponent(target['kid']);
  const sign = { kid: target['kid'], payload_b3: DIGEST };
  const { sigs } = (await call(service, 'POST', '/sign', sign)).body;
  const verify = { ...sign, sigs };
  const { wrapped_b64: wrapped } = (await call(service, 'POST', '/wrap', { kid: symmetric['kid'], size: 32 })).body;
  good = {
    'POST /keys': { tenant: 'core', purpose: 'audit', alg: 'ed25519' },
    'PATCH /keys/{kid}': { labels: { team: 'red' } },
    'POST /keys/{kid}/rotate': {}, 'POST /keys/{kid}/disable': {}, 'POST /keys/{kid}/enable': {}, 'POST /keys/{kid}/destroy': {}, 'POST /keys/{kid}/restore': {},
    'POST /sign': sign, 'POST /verify': verify, 'POST /sign/batch': { items: [sign] }, 'POST /verify/batch': { items: [verify] },
    'POST /wrap': { kid: symmetric['kid'], size: 32 }, 'POST /unwrap': { wrapped_b64: wrapped }, 'POST /rewrap': { wrapped_b64: wrapped },
    'POST /admin/log-keys': {}, 'POST /admin/accept-clock': {}, 'POST /admin/rekey': {}, 'POST /admin/backup': {}, 'POST /admin/reload': {},
  };
});
afterAll(async () => { await service.stop(); });

/** Sends one request and says what is wrong with the refusal; a batch may refuse its item instead. */
async function faultsOf(method: string, path: string, body: string | Buffer | undefined, codes: readonly string[]): Promise<readonly string[]> {
  const response = await fetch(`${service.apiUrl}/v1/kms${path}`, {
    method, headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: Buffer.from(body) }),
  });
  const text = await response.text();
  if (response.status === 200 && path.endsWith('/batch')) return faultsOfItem((JSON.parse(text) as { items: unknown[] }).items[0], codes);
  return faultsOfRefusal({ status: response.status, text, header: (name) => response.headers.get(name) }, codes);
}

async function wrongAnswers<T extends { readonly name: string }>(cases: readonly T[], faults: (one: T) => Promise<readonly string[]>): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (let i = 0; i < cases.length; i += AT_ONCE) {
    const found = await Promise.all(cases.slice(i, i + AT_ONCE).map(async (one) => (await faults(one)).map((fault) => `${one.name} → ${fault}`)));
    wrong.push(...found.flat());
  }
  return wrong;
}

const named = (rows: readonly { readonly method: string; readonly path: string }[]) => rows.map(({ method, path }) => [`${method} ${path}`, method, path] as const);
const pathOf = (path: string): string => path.replace('{kid}', pathKid);

test('the OpenAPI document names every route, so every route is tried below', () => {
  expect(operations.map(({ method, path }) => `${method} ${path}`).toSorted()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).toSorted());
  expect(routes.length).toBeGreaterThanOrEqual(19);
  expect(operations.reduce((sum, { bodySchema }) => sum + (bodySchema === undefined ? 0 : countFields(bodySchema)), 0)).toBeGreaterThanOrEqual(75);
});

describe('a request with one thing wrong is refused as 400 with nothing of it repeated', () => {
  test.each(named(withBody))('%s: whatever is wrong in the body', async (name, method, path) => {
    const schema = operations.find((one) => one.method === method && one.path === path)?.bodySchema ?? {};
    const body = good[name];
    if (body === undefined) throw new Error('a new route: give it a good body in this file');
    const accepted = await call(service, method, pathOf(path), body, token);
    // Keys in RAM have no root key: what was right is still not for them.
    if (accepted.body['error']?.code !== 'Unsupported') expect([200, 201, 409]).toContain(accepted.status);

    const cases = badBodies(schema, body);
    expect(cases.length).toBeGreaterThan(40);
    expect(await wrongAnswers(cases, (one) => faultsOf(method, pathOf(path), one.body, one.codes))).toEqual([]);
  });

  test.each(named(routes.filter(({ query }) => query !== undefined)))('%s: whatever is wrong in the query', async (_name, method, path) => {
    const parameters = operations.find((one) => one.method === method && one.path === path)?.parameters.filter((one) => one.in === 'query') ?? [];
    const cases = badQueries(parameters);
    expect(cases.length).toBeGreaterThan(40);
    expect(await wrongAnswers(cases, ({ query }) => faultsOf(method, path + query, undefined, ['BadRequest']))).toEqual([]);
  });

  // Export is refused whatever the kid: nothing is told of it.
  test.each(named(routes.filter(({ path }) => path.includes('{kid}'))))('%s: whatever is wrong with the kid in the path', async (name, method, path) => {
    const codes = /private|export/.test(path) ? ['ExportForbidden'] : ['BadRequest'];
    const oneSegment = badKids.filter((kid) => kid !== '').map((kid) => ({ name: `one segment ${kid.slice(0, 80)}`, kid: encodeURIComponent(kid) }));
    const fourSegments = badKids.filter((kid) => /^[^/]+\/[^/]+\/[^/]+\/[^/]+$/.test(kid)).map((kid) => ({ name: `four segments ${kid}`, kid: kid.split('/').map(encodeURIComponent).join('/') }));
    // A path of dots is another path before it is sent; a segment longer than any kid has a test of its own.
    const cases = [...oneSegment, ...fourSegments].filter(({ kid }) => !kid.startsWith('..') && kid.length <= 512);
    expect(cases.length).toBeGreaterThan(50);
    expect(await wrongAnswers(cases, ({ kid }) => faultsOf(method, path.replace('{kid}', kid), method === 'GET' ? undefined : JSON.stringify(good[name]), codes))).toEqual([]);
  });
});

test('after all of it the service is healthy, and nothing of the bad input stands in its log', async () => {
  const lines = (await logUntilNow(service)).trim().split('\n');
  expect(lines.length).toBeGreaterThan(1000);
  expect(lines.filter((line) => line.toLowerCase().includes(CANARY))).toEqual([]);
  expect(lines.filter((line) => line.includes('"Internal"'))).toEqual([]);
  expect(lines.every((line) => (JSON.parse(line) as { service: string }).service === 'ron-kms')).toBe(true);

  expect((await fetch(`${service.metricsUrl}/readyz`)).status).toBe(200);
  const { kid } = await createKey(service);
  expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(200);
});
