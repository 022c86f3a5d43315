import type { KmsClient } from '../../client/src/index.ts';
import type { Act, FlakyServer } from './flaky-server.ts';
import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { createClient, KmsClientError } from '../../client/src/index.ts';
import { answers, hangsUp, refuses, saysNothing, startFlaky } from './flaky-server.ts';

const KID = 'core/audit/ed25519+ml-dsa/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v3';
const DIGEST = 'ab'.repeat(32);
const busy = refuses(429, 'Backpressure', true, { 'retry-after': '0' });
const done = answers({ ok: true });

let server: FlakyServer;
afterEach(() => server.stop());

async function clientOf(...acts: readonly Act[]): Promise<KmsClient> {
  server = await startFlaky(...acts);
  return createClient({ url: server.url, token: 'token', timeoutMs: 3000 });
}

async function faultOf(outcome: Promise<unknown>): Promise<KmsClientError> {
  const fault: unknown = await outcome.then(() => undefined, (reason: unknown) => reason);
  if (fault instanceof KmsClientError) return fault;
  throw new Error(`not a KmsClientError: ${String(fault)}`);
}

type Calls = (client: KmsClient) => Promise<unknown>;

const safe: readonly (readonly [string, Calls])[] = [
  ['getKey', (client) => client.getKey(KID)],
  ['listKeys', (client) => client.listKeys()],
  ['readToken', (client) => client.readToken()],
  ['openapi', (client) => client.openapi()],
  ['sign', (client) => client.sign({ kid: KID, payload_b3: DIGEST })],
  ['verify', (client) => client.verify({ kid: KID, payload_b3: DIGEST, sigs: [] })],
  ['signBatch', (client) => client.signBatch({ items: [] })],
  ['verifyBatch', (client) => client.verifyBatch({ items: [] })],
  ['createKey with an op_id', (client) => client.createKey({ tenant: 'core', purpose: 'p', op_id: 'a' })],
  ['patchKey with an op_id', (client) => client.patchKey(KID, { labels: {}, op_id: 'a' })],
  ['rotateKey with an op_id', (client) => client.rotateKey(KID, { op_id: 'a' })],
  ['destroyKey with an op_id', (client) => client.destroyKey(KID, { op_id: 'a' })],
];

const unsafe: readonly (readonly [string, Calls])[] = [
  ['createKey', (client) => client.createKey({ tenant: 'core', purpose: 'p' })],
  ['patchKey', (client) => client.patchKey(KID, { labels: {} })],
  ['rotateKey', (client) => client.rotateKey(KID)],
  ['disableKey', (client) => client.disableKey(KID)],
  ['enableKey', (client) => client.enableKey(KID)],
  ['destroyKey', (client) => client.destroyKey(KID)],
  ['restoreKey', (client) => client.restoreKey(KID)],
  ['wrap', (client) => client.wrap({ kid: KID, size: 32, op_id: 'a' })],
  ['unwrap', (client) => client.unwrap({ wrapped_b64: 'AA==' })],
  ['rewrap', (client) => client.rewrap({ wrapped_b64: 'AA==' })],
];

describe('a call that is refused as busy or out of service', () => {
  test.each(safe)('%s is tried again, with the same body', async (_name, call) => {
    const client = await clientOf(busy, refuses(503, 'StoreUnavailable', true), done);
    expect(await call(client)).toEqual({ ok: true });
    expect(server.seen).toHaveLength(3);
    expect(new Set(server.seen.map(({ method, url, body }) => `${method} ${url} ${body}`)).size).toBe(1);
  });

  test.each(unsafe)('%s is not: it could be done twice', async (_name, call) => {
    const client = await clientOf(busy, done);
    expect(await faultOf(call(client))).toMatchObject({ code: 'Backpressure', status: 429, retryable: true });
    expect(server.seen).toHaveLength(1);
  });

  test('Retry-After is waited for, seconds or a date', async () => {
    const client = await clientOf(refuses(429, 'QuotaExceeded', true, { 'retry-after': '1' }), done);
    await client.getKey(KID);
    expect((server.seen[1]?.atMs ?? 0) - (server.seen[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(990);
    server.stop();
    const other = await clientOf(refuses(503, 'ClockSkew', true, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() }));
    expect((await faultOf(other.getKey(KID))).retryAfterMs).toBeGreaterThan(50_000);
  });

  test('a wait that would pass the deadline is not begun', async () => {
    const client = await clientOf(refuses(429, 'QuotaExceeded', true, { 'retry-after': '60' }));
    const start = performance.now();
    expect(await faultOf(client.getKey(KID))).toMatchObject({ code: 'QuotaExceeded', retryAfterMs: 60_000 });
    expect(performance.now() - start).toBeLessThan(1000);
    expect(server.seen).toHaveLength(1);
  });

  test('it gives up after some attempts', async () => {
    const client = await clientOf(busy);
    expect(await faultOf(client.getKey(KID))).toMatchObject({ code: 'Backpressure' });
    expect(server.seen.length).toBeGreaterThan(2);
    expect(server.seen.length).toBeLessThanOrEqual(8);
  });

  test.each([
    ['not called retryable', refuses(503, 'Internal', false)],
    ['retryable, and it may have been done', refuses(504, 'Timeout', true)],
    ['a proxy that says 503 in its own words', answers('<html>', 503)],
    ['a broken connection', hangsUp],
  ])('not tried again: %s', async (_why, act) => {
    const client = await clientOf(act, done);
    await faultOf(client.sign({ kid: KID, payload_b3: DIGEST }));
    expect(server.seen).toHaveLength(1);
  });
});

describe('errors', () => {
  test('carry what the service said', async () => {
    const client = await clientOf(refuses(403, 'NoCapability', false));
    const fault = await faultOf(client.getKey(KID));
    expect(fault).toMatchObject({ name: 'KmsClientError', code: 'NoCapability', status: 403, retryable: false, hint: 'try this', requestId: 'r1', message: 'it is NoCapability' });
    expect(fault.cause).toMatchObject({ ts: '2026-01-01T00:00:00.000Z' });
    expect(fault.stack).not.toContain('token');
  });

  test.each([
    ['nothing like JSON', (response) => { response.writeHead(200).end('<html>'); }, 200],
    ['JSON of somebody else', answers({ message: 'no' }, 404), 404],
    ['a redirect, which is not followed with the token', answers({}, 302, { location: 'http://127.0.0.1:9/steal' }), 302],
  ] as readonly (readonly [string, Act, number])[])('BadAnswer: %s', async (_what, act, status) => {
    const client = await clientOf(act);
    expect(await faultOf(client.readToken())).toMatchObject({ code: 'BadAnswer', status, retryable: false });
    expect(server.seen).toHaveLength(1);
  });

  test('Unreachable: nobody there, or hung up in the middle', async () => {
    const client = await clientOf(hangsUp);
    expect(await faultOf(client.readToken())).toMatchObject({ code: 'Unreachable', status: 0 });
    const url = server.url;
    server.stop();
    expect((await faultOf(createClient({ url, token: 'token' }).readToken())).message).toBe(`${url} cannot be reached (ECONNREFUSED)`);
  });

  test('the token never gets into one', async () => {
    const client = await clientOf(done);
    for (const token of ['SECRET\n', 'SECRET SECRET', '']) await expect(createClient({ url: server.url, token }).readToken()).rejects.toThrow(/^the token is not base64url/);
    expect(() => createClient({ url: 'http://user:SECRET@x', token: 'a' })).toThrow(/^the url of a ron-kms has no user/);
    expect(() => createClient({ url: 'file:///etc', token: 'a' })).toThrow(/http or https/);
    await expect(client.readToken({ corrId: 'x\r\ny' })).rejects.toThrow(TypeError);
    expect(server.seen).toHaveLength(0);
  });
});

describe('the deadline', () => {
  test('ends a call that is not answered', async () => {
    const client = await clientOf(saysNothing);
    const start = performance.now();
    expect(await faultOf(client.readToken({ timeoutMs: 200 }))).toMatchObject({ code: 'DeadlineExceeded', status: 0 });
    expect(performance.now() - start).toBeLessThan(1500);
  });

  test('and one that is answered by halves', async () => {
    const client = await clientOf((response) => { response.writeHead(200, { 'content-type': 'application/json' }).write('{"ok":'); });
    expect(await faultOf(client.readToken({ timeoutMs: 200 }))).toMatchObject({ code: 'DeadlineExceeded' });
  });

  test('counts all attempts together, and tells the last refusal', async () => {
    const client = await clientOf(busy, saysNothing);
    const fault = await faultOf(client.getKey(KID, { timeoutMs: 600 }));
    expect(fault).toMatchObject({ code: 'DeadlineExceeded', cause: { code: 'Backpressure' } });
    expect(server.seen).toHaveLength(2);
  });

  test('a signal of one\'s own ends it with its own reason, also while it waits', async () => {
    const client = await clientOf(refuses(429, 'Backpressure', true, { 'retry-after': '2' }));
    const reason = new Error('changed my mind');
    const stop = new AbortController();
    const outcome = client.getKey(KID, { signal: stop.signal });
    setTimeout(() => stop.abort(reason), 100);
    await expect(outcome).rejects.toBe(reason);
    await expect(client.getKey(KID, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(server.seen).toHaveLength(1);
  });
});

test('a signal that lives long is left as it was', async () => {
  const client = await clientOf(busy, done);
  const { signal } = new AbortController();
  await client.getKey(KID, { signal });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

describe('what goes over the wire', () => {
  test('a kid is one path segment, and cannot become another path', async () => {
    const client = await clientOf(done);
    await client.getKey(KID);
    await client.rotateKey(KID);
    expect(server.seen.map(({ url }) => url)).toEqual([KID, KID].map(encodeURIComponent).map((kid, i) => `/v1/kms/keys/${kid}${i === 1 ? '/rotate' : ''}`));
    for (const kid of ['', '.', '..']) expect(() => client.getKey(kid)).toThrow(TypeError);
  });

  test('a query is encoded as the service reads it', async () => {
    const client = await clientOf(answers({ keys: [] }));
    await client.listKeys({ alg: 'ed25519+ml-dsa', label: 'note:a b+c&d', limit: 5 });
    expect(server.seen[0]?.url).toBe('/v1/kms/keys?alg=ed25519%2Bml-dsa&label=note%3Aa%20b%2Bc%26d&limit=5');
  });

  test('pages are followed one by one, no further than they are read', async () => {
    const client = await clientOf(answers({ keys: [{ kid: 'a' }, { kid: 'b' }], next_cursor: 'c1' }), answers({ keys: [], next_cursor: 'c2' }), answers({ keys: [{ kid: 'c' }] }));
    expect((await Array.fromAsync(client.allKeys({ tenant: 'core' }))).map(({ kid }) => kid)).toEqual(['a', 'b', 'c']);
    expect(server.seen.map(({ url }) => url.split('?')[1])).toEqual(['tenant=core', 'tenant=core&cursor=c1', 'tenant=core&cursor=c2']);
    server.stop();
    const other = await clientOf(answers({ keys: [{ kid: 'a' }], next_cursor: 'c1' }));
    for await (const key of other.allKeys()) {
      expect(key.kid).toBe('a');
      break;
    }
    expect(server.seen).toHaveLength(1);
  });

  test('the token is asked for before every attempt, the path of the url is kept, ids are passed on', async () => {
    server = await startFlaky(busy, done);
    let asked = 0;
    const client = createClient({ url: `${server.url}/behind/a/proxy/`, token: async () => `t${++asked}` });
    await client.readToken({ corrId: '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b' });
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer t1', 'Bearer t2']);
    expect(server.seen[0]).toMatchObject({ url: '/behind/a/proxy/v1/kms/token', headers: { 'x-corr-id': '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b' } });
    expect(server.seen[0]?.headers).not.toHaveProperty('content-type');
  });
});
