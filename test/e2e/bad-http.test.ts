import { METHODS } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RawOptions } from '../harness/raw-http.ts';
import type { TestService } from '../harness/service.ts';
import { logUntilNow } from '../harness/log.ts';
import { rawRequest, sendRaw } from '../harness/raw-http.ts';
import { CANARY, faultsOfRefusal } from '../harness/refusal.ts';
import { call, createKey, startService, tokenOf } from '../harness/service.ts';

const token = tokenOf();
const GOOD = JSON.stringify({ tenant: 'core', purpose: 'audit', alg: 'ed25519' });
const MIB = 1024 ** 2;

let service: TestService;
beforeAll(async () => { service = await startService({ flags: ['--read-timeout', '1s'] }); });
afterAll(async () => { await service.stop(); });

/** The status, and what is wrong with the refusal besides. */
async function refusalOf(bytes: string | Buffer, codes: readonly string[], options?: RawOptions): Promise<{ readonly status: number; readonly faults: readonly string[] }> {
  const { status, headers, text } = await sendRaw(service.apiUrl, bytes, options);
  return { status, faults: faultsOfRefusal({ status, text, header: (name) => headers.get(name) }, codes) };
}

const create = (parts: Partial<Parameters<typeof rawRequest>[0]>): Buffer => rawRequest({ path: '/keys', token, body: GOOD, ...parts });
const get = (path: string, headers: Readonly<Record<string, string>> = {}): Buffer => rawRequest({ method: 'GET', path, token, headers });
const chunked = (chunks: string): string =>
  `POST /v1/kms/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`;

describe('what is not HTTP is answered 400 in the envelope, and the connection ends', () => {
  test.each<[string, string | Buffer]>([
    ['random bytes', Buffer.from(`\u0000\u0001${CANARY}\r\n\r\n`)],
    ['a TLS hello', Buffer.from('16030102000100', 'hex')],
    ['a version of HTTP that is none', `GET /v1/kms/token HTTP/3.0\r\nHost: a\r\nX: ${CANARY}\r\n\r\n`],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['an unknown method', `${CANARY.toUpperCase()} /v1/kms/token HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a header without a colon', `GET /v1/kms/token HTTP/1.1\r\nHost: a\r\n${CANARY}\r\n\r\n`],
    ['a NUL in a header', `GET /v1/kms/token HTTP/1.1\r\nHost: a\r\nX: ${CANARY}\u0000\r\n\r\n`],
    ['a bare line feed in a header', `GET /v1/kms/token HTTP/1.1\r\nHost: a\r\nX: a\n${CANARY}: b\r\n\r\n`],
    ['a space before the colon', `GET /v1/kms/token HTTP/1.1\r\nHost : a\r\n\r\n`],
    ['no path', 'GET HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a negative length', create({ headers: { 'content-length': '-1' } })],
    ['a length that is no number', create({ headers: { 'content-length': CANARY } })],
    ['two lengths', 'POST /v1/kms/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}'],
    ['a length and chunks at once', create({ headers: { 'transfer-encoding': 'chunked' } })],
    ['a chunk size that is none', chunked(`${CANARY}\r\n{}\r\n0\r\n\r\n`)],
    ['a chunk larger than it says', chunked(`2\r\n${GOOD}\r\n0\r\n\r\n`)],
  ])('%s', async (_name, bytes) => {
    expect(await refusalOf(bytes, ['BadRequest'])).toEqual({ status: 400, faults: [] });
  });

  test('a request without a Host header', async () => {
    expect(await refusalOf(`GET /v1/kms/token HTTP/1.1\r\nAuthorization: Bearer ${token}\r\n\r\n`, ['BadRequest'])).toEqual({ status: 400, faults: [] });
  });

  test('an Expect header that nobody can meet is refused by a code of the table', async () => {
    const { faults } = await refusalOf(create({ headers: { expect: CANARY } }), ['BadRequest']);
    expect(faults).toEqual([]);
  });
});

test('a client that waits for 100 Continue is told to go on', async () => {
  expect((await sendRaw(service.apiUrl, create({ headers: { expect: '100-continue' } }))).status).toBe(201);
});

describe('a request that never becomes whole', () => {
  test('a body cut short by closing is 400', async () => {
    expect(await refusalOf(create({ contentLength: GOOD.length + 100 }), ['BadRequest'], { halfClose: true })).toEqual({ status: 400, faults: [] });
  });

  test.concurrent.each<[string, () => string | Buffer]>([
    ['a body that stops', () => create({ contentLength: GOOD.length + 100 })],
    ['headers that stop', () => `GET /v1/kms/token HTTP/1.1\r\nHost: a\r\nX: ${CANARY}`],
    ['a chunk that stops', () => chunked('ff\r\n{"tenant"')],
  ])('%s is 408 once the read timeout is over', async (_name, bytes) => {
    expect(await refusalOf(bytes(), ['Timeout'])).toEqual({ status: 408, faults: [] });
  });
});

describe('what is too large', () => {
  test.each<[string, () => string | Buffer]>([
    ['a body of 2 MiB', () => create({ body: JSON.stringify({ tenant: CANARY, x: 'x'.repeat(2 * MIB) }) })],
    ['a body that says it has 2 MiB', () => create({ contentLength: 2 * MIB })],
    ['2 MiB in chunks', () => chunked(`200000\r\n${'x'.repeat(2 * MIB)}\r\n0\r\n\r\n`)],
    ['one byte over the limit', () => create({ body: ' '.repeat(MIB + 1 - GOOD.length) + GOOD })],
  ])('%s is 413', async (_name, bytes) => {
    expect(await refusalOf(bytes(), ['TooLarge'])).toEqual({ status: 413, faults: [] });
  });

  test('a body of exactly the limit is taken', async () => {
    expect((await sendRaw(service.apiUrl, create({ body: ' '.repeat(MIB - GOOD.length) + GOOD }))).status).toBe(201);
  });

  test.each<[string, () => Buffer]>([
    ['one header of 20 kB', () => get('/token', { 'x-big': CANARY.padEnd(20_000, 'y') })],
    ['one header of 1 MB', () => get('/token', { 'x-big': CANARY.padEnd(1_000_000, 'y') })],
    ['1,500 headers', () => get('/token', Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`x-${i}`, CANARY])))],
    ['a path of 20 kB', () => get(`/keys?label=a:${CANARY.padEnd(20_000, 'y')}`)],
    ['a token of 1 MB', () => get('/token', { authorization: `Bearer ${'A'.repeat(1_000_000)}` })],
  ])('%s is 431', async (_name, bytes) => {
    expect(await refusalOf(bytes(), ['TooLarge'])).toEqual({ status: 431, faults: [] });
  });
});

describe('the body is JSON in UTF-8, and says so', () => {
  test.each(['application/json', 'Application/JSON', 'application/json; charset=utf-8', 'application/json;charset=UTF-8', 'application/json ; charset="utf-8"'])('%s is taken', async (type) => {
    expect((await sendRaw(service.apiUrl, create({ headers: { 'content-type': type } }))).status).toBe(201);
  });

  test.each(['', ';', 'json', 'text/plain', 'text/json', 'application/jsonx', 'application/json-patch+json', 'application/cbor', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/json, text/plain', '*/*', `${CANARY}/json`, CANARY.padEnd(5000, 'x')])('%s is refused', async (type) => {
    expect(await refusalOf(create({ headers: { 'content-type': type } }), ['BadRequest'])).toEqual({ status: 400, faults: [] });
  });

  test('no content type at all is refused', async () => {
    const text = create({}).toString('latin1').replace(/content-type: [^\r]*\r\n/, '');
    expect(await refusalOf(text, ['BadRequest'])).toEqual({ status: 400, faults: [] });
  });

  test.each<[string, string | Buffer]>([
    ['a hundred thousand arrays deep', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['a hundred thousand objects deep', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['half a million arrays deep in a field', `{"tenant":"core","purpose":"audit","policy_hints":${'['.repeat(500_000)}${']'.repeat(500_000)}}`],
    ['a million opened arrays', '['.repeat(1_000_000)],
    ['ninety thousand fields', `{${Array.from({ length: 90_000 }, (_, i) => `"f${i}":1`).join()}}`],
    ['a field a thousand times', `{${Array.from({ length: 1000 }, () => '"tenant":"core"').join()}}`],
    ['a number of a million digits', `{"tenant":"core","purpose":"audit","rotate_after":${'9'.repeat(1_000_000)}}`],
  ])('%s is refused, quickly', async (_name, body) => {
    const startedMs = performance.now();
    expect(await refusalOf(create({ body }), ['BadRequest'])).toEqual({ status: 400, faults: [] });
    expect(performance.now() - startedMs).toBeLessThan(4000);
  });
});

describe('paths and methods', () => {
  test.each(['/', '/nope', '//token', '/token/x', '/sign/x', '/keys/a/b', '/keys/a/b/c', '/keys/a/b/c/d/nope', '/keys/a/b/c/d/rotate/x', `/${CANARY}`, '/keys/../token', '/TOKEN', '/__proto__', '/keys/a/b/c/d/constructor'])('%s is 404', async (path) => {
    expect(await refusalOf(get(path), ['NotFound'])).toEqual({ status: 404, faults: [] });
  });

  test.each(['/', '/v1', '/v1/kms', '/v1/kms2/token', '/v2/kms/token', '/healthz', '/metrics', '/readyz', `/.env`])('%s outside the base is 404', async (path) => {
    expect(await refusalOf(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, ['NotFound'])).toEqual({ status: 404, faults: [] });
  });

  // An answer to HEAD has no body, and CONNECT is not for an origin.
  test.each(METHODS.filter((method) => !['GET', 'POST', 'HEAD', 'CONNECT'].includes(method)))('%s on the keys is 404', async (method) => {
    expect(await refusalOf(rawRequest({ method, path: '/keys', token }), ['NotFound'])).toEqual({ status: 404, faults: [] });
  });

  test.each<[string, string]>([['POST', '/token'], ['PUT', '/keys'], ['DELETE', '/keys'], ['GET', '/sign'], ['POST', '/nope'], ['PATCH', '/sign']])('%s %s is 404 before anything of its body is looked at', async (method, path) => {
    for (const body of ['{', `{"${CANARY}":1,"${CANARY}":2}`, JSON.stringify({ x: 'x'.repeat(2 * MIB) })]) {
      // Kept alive: a connection that closes with bytes unread is reset, and the answer may go with it (RFC 9112 §9.6).
      expect(await refusalOf(rawRequest({ method, path, token, body, headers: { connection: 'keep-alive' } }), ['NotFound']), body.slice(0, 30)).toEqual({ status: 404, faults: [] });
    }
  });

  test.each(['/keys/%zz', '/keys/%', '/keys/%f', '/keys/%ff%fe', '/keys/%c0%80', '/keys/%ed%a0%80', `/keys/${CANARY}%zz/rotate`])('%s is no path', async (path) => {
    expect(await refusalOf(get(path), ['BadRequest', 'NotFound'])).toMatchObject({ faults: [] });
  });

  test.each([513, 600, 4000, 12_000])('a segment of %i characters, longer than any kid, is refused and no fault of the service', async (length) => {
    for (const path of [`/keys/${CANARY.padEnd(length, 'a')}`, `/keys/a/b/c/${CANARY.padEnd(length, 'a')}`]) {
      expect(await refusalOf(get(path), ['BadRequest', 'NotFound'])).toMatchObject({ faults: [] });
    }
  });

  test('a kid is the same as four segments, as one, and with + or %2B', async () => {
    const { kid } = await createKey(service);
    const [tenant, purpose, alg = '', rest = ''] = (kid as string).split('/');
    const [uuid = '', version = ''] = rest.split('#');
    const plus = alg.replace('+', '%2B');
    const ways = [
      `${tenant}/${purpose}/${alg}/${uuid}`, `${tenant}/${purpose}/${plus}/${uuid}`, `${tenant}/${purpose}/${alg}/${uuid}%23${version}`, `${tenant}/${purpose}/${plus}/${uuid}%23v1`,
      encodeURIComponent(kid), encodeURIComponent(kid).replace('%2B', '+'), encodeURIComponent(kid).toLowerCase(), `${tenant}%2f${purpose}%2F${alg}%2f${uuid}`,
    ];
    for (const way of ways) {
      const { status, text } = await sendRaw(service.apiUrl, get(`/keys/${way}`));
      expect({ way, status, kid: JSON.parse(text).kid }).toEqual({ way, status: 200, kid });
    }
  });

  test.each(['core%2Faudit/ed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b', 'core/audit%2Fed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b', 'co%2Fre/audit/ed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b', 'core/audit/ed25519%20ml-dsa/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b', 'core%252Faudit%252Fed25519%252F0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b'])('%s is not a kid', async (way) => {
    expect(await refusalOf(get(`/keys/${way}`), ['BadRequest', 'NotFound'])).toMatchObject({ faults: [] });
  });
});

describe('every answer names the request', () => {
  test('a correlation id that is a UUID comes back, any other is replaced', async () => {
    const id = '0193a0b1-c2d3-4e4f-8a5b-6c7d8e9f0a1b';
    expect((await sendRaw(service.apiUrl, get('/token', { 'x-corr-id': id }))).headers.get('x-corr-id')).toBe(id);
    for (const bad of [CANARY, '', `${id}x`, `{${id}}`, `${id}, ${id}`, id.replaceAll('-', ''), '../../etc', '\u00e9'.repeat(36)]) {
      const { headers, status } = await sendRaw(service.apiUrl, get('/token', { 'x-corr-id': bad }));
      expect({ bad, status, corrId: headers.get('x-corr-id') }).toEqual({ bad, status: 200, corrId: headers.get('x-request-id') });
    }
  });

  test('two requests never share an id', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, async () => (await call(service, 'GET', '/token')).headers.get('x-request-id')));
    expect(new Set(ids).size).toBe(50);
  });
});

test('labels with the names of things that every object has are kept like any other', async () => {
  const text = '{"tenant":"core","purpose":"audit","alg":"aes-256-gcm","labels":{"__proto__":"a+b","constructor":"c","tostring":"\\u0000\\u00e9"}}';
  const created = await sendRaw(service.apiUrl, create({ body: text }));
  expect(created.status).toBe(201);
  const { kid } = JSON.parse(created.text) as { kid: string };
  for (const answer of [created, await sendRaw(service.apiUrl, get(`/keys/${encodeURIComponent(kid)}`))]) {
    expect(answer.text).toContain('"__proto__":"a+b"');
    expect(answer.text).toContain('"constructor":"c"');
  }
  for (const [label, found] of [['__proto__:a+b', 1], ['__proto__:x', 0], ['constructor:c', 1], ['hasownproperty:x', 0], ['valueof:', 0], ['toString:', undefined]] as const) {
    const { status, body } = await call(service, 'GET', `/keys?label=${label}`);
    expect({ label, found: status === 200 ? body['keys'].length : undefined }).toEqual({ label, found });
  }
  const patched = await sendRaw(service.apiUrl, rawRequest({ method: 'PATCH', path: `/keys/${encodeURIComponent(kid)}`, token, body: '{"labels":{"__proto__":"z"}}' }));
  expect(patched.text).toContain('"labels":{"__proto__":"z"}');
  // Nobody else's key got a label by it.
  expect((await createKey(service))['labels']).toEqual({});
});

test('after all of it the service is healthy, and nothing of the bad input stands in its log', async () => {
  expect((await logUntilNow(service)).toLowerCase().split('\n').filter((line) => line.includes(CANARY))).toEqual([]);
  expect((await fetch(`${service.metricsUrl}/readyz`)).status).toBe(200);
  expect((await call(service, 'GET', '/token')).status).toBe(200);
});
