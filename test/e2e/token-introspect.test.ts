import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TestService } from '../harness/service.ts';
import { logUntilNow } from '../harness/log.ts';
import { eventually } from '../harness/poll.ts';
import { refusedStart } from '../harness/refused-start.ts';
import { faultsOfRefusal } from '../harness/refusal.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

interface Reply {
  readonly status?: number;
  readonly text: string;
  readonly location?: string;
}

/** What ron-auth says; undefined is silence. */
let reply: (() => Reply) | undefined;
let asked: { readonly method: string; readonly type: string; readonly body: string }[] = [];
let auth: Server;
let service: TestService;
let number = 0;

const saying = (text: string, rest: Partial<Reply> = {}) => (): Reply => ({ text, ...rest });
/** A token that nobody has asked about yet. */
const fresh = (...more: readonly string[]): string => tokenOf({ caveats: [...everything('core'), ...more], tokenId: `i${number++}`, rootKeyId: 'unknown-here', secret: Buffer.alloc(32, 3) });
const statusOf = async (token: string): Promise<number> => (await call(service, 'GET', '/token', undefined, token)).status;

beforeAll(async () => {
  auth = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => { body += chunk.toString(); });
    request.on('end', () => {
      asked.push({ method: request.method ?? '', type: request.headers['content-type'] ?? '', body });
      const said = reply?.();
      if (said === undefined) return;
      response.writeHead(said.status ?? 200, { 'content-type': 'application/json', ...(said.location !== undefined && { location: said.location }) }).end(said.text);
    });
  });
  auth.listen(0, '127.0.0.1');
  await once(auth, 'listening');
  service = await startService({ flags: ['--auth-mode', 'introspect', '--auth-introspect-url', `http://127.0.0.1:${(auth.address() as AddressInfo).port}/introspect`] });
});
afterAll(async () => {
  await service.stop();
  auth.closeAllConnections();
  auth.close();
});
beforeEach(() => {
  asked = [];
  reply = saying('{"active":true}');
});

/** What a token that nobody knows yet is answered, and what is wrong with that besides. */
async function refusal(): Promise<{ readonly status: number; readonly faults: readonly string[] }> {
  const response = await fetch(`${service.apiUrl}/v1/kms/token`, { headers: { authorization: `Bearer ${fresh()}` } });
  const text = await response.text();
  return { status: response.status, faults: faultsOfRefusal({ status: response.status, text, header: (name) => response.headers.get(name) }, ['AuthUnavailable']) };
}

describe('a token whose activity another service knows', () => {
  test('is accepted when that says it is active, having been shown the token and nothing else', async () => {
    const token = fresh();
    expect(await statusOf(token)).toBe(200);
    expect(asked).toEqual([{ method: 'POST', type: 'application/json', body: JSON.stringify({ token }) }]);
  });

  test('is refused with 401 when that says it is not', async () => {
    reply = saying('{"active":false}');
    const { status, body } = await call(service, 'GET', '/token', undefined, fresh());
    expect({ status, code: body['error'].code }).toEqual({ status: 401, code: 'NoCapability' });
  });

  test('may carry more in its answer, which says nothing', async () => {
    reply = saying('{"scope":"kms:admin","active":true,"exp":0}');
    expect(await statusOf(fresh('scope = kms:read'))).toBe(200);
  });

  test('is asked about once while many use it at once', async () => {
    const token = fresh();
    expect(new Set(await Promise.all(Array.from({ length: 40 }, () => statusOf(token))))).toEqual(new Set([200]));
    expect(asked).toHaveLength(1);
  });

  test('is refused within 5 s of having become inactive, and not asked about at every call until then', { timeout: 12_000 }, async () => {
    const token = fresh();
    expect(await statusOf(token)).toBe(200);
    reply = saying('{"active":false}');
    const startedMs = performance.now();
    let calls = 0;
    await eventually('the token is refused', 6000, async () => {
      calls++;
      return (await statusOf(token)) === 401;
    });
    expect(performance.now() - startedMs).toBeLessThan(5500);
    expect(asked.length).toBe(2);
    expect(calls).toBeGreaterThan(10);
  });

  test('is not asked about when it cannot be read at all', async () => {
    expect(await statusOf('AgABAAAA')).toBe(401);
    expect(await statusOf('x'.repeat(2000))).toBe(401);
    expect(asked).toEqual([]);
  });
});

describe('the caveats are cleared here, whatever that says', () => {
  test.each<[string, readonly string[]]>([['an unknown one', ['admin = true']], ['a wrong scope', ['scope = *']], ['another peer', ['peer = 10.0.0.0/8']], ['another client certificate', [`mtls = sha256:${'0'.repeat(64)}`]], ['odd spacing', ['tenant=core']], ['too long a life', ['not-before = 2020-01-01T00:00:00Z']]])('%s is 403', async (_name, caveats) => {
    expect(await statusOf(fresh(...caveats))).toBe(403);
  });

  test('an expired one is 401', async () => {
    expect(await statusOf(fresh('expires = 2020-01-01T00:00:00Z'))).toBe(401);
  });

  test('tenant, scope and rate hold as ever', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' }, fresh());
    const sign = async (token: string): Promise<number> => (await call(service, 'POST', '/sign', { kid, payload_b3: '0'.repeat(64) }, token)).status;
    expect(await sign(fresh())).toBe(200);
    expect(await sign(fresh('tenant = other'))).toBe(403);
    expect(await sign(fresh('scope = kms:read'))).toBe(403);
    const slow = fresh('rps = 1');
    const statuses = await Promise.all(Array.from({ length: 8 }, () => sign(slow)));
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(3);
    expect(statuses).toContain(429);
  });
});

describe('an answer that cannot be had is 503 AuthUnavailable, and nobody is let in', () => {
  test.each<[string, () => Reply]>([
    ['not JSON', saying('zq7canary')],
    ['cut short', saying('{"active":tr')],
    ['empty', saying('')],
    ['a list', saying('[true]')],
    ['true', saying('true')],
    ['null', saying('null')],
    ['without active', saying('{}')],
    ['active as a word', saying('{"active":"true"}')],
    ['active as a number', saying('{"active":1}')],
    ['active as null', saying('{"active":null}')],
    ['active as an object', saying('{"active":{}}')],
    ['active in another case', saying('{"Active":true}')],
    ['megabytes', saying(`{"active":true,"x":"${'x'.repeat(3_000_000)}"}`)],
    ['500', saying('{"active":true}', { status: 500 })],
    ['401', saying('{"active":true}', { status: 401 })],
    ['201', saying('{"active":true}', { status: 201 })],
    ['a redirect', saying('', { status: 307, location: 'http://127.0.0.1:1/' })],
  ])('%s', async (_name, said) => {
    reply = said;
    expect(await refusal()).toEqual({ status: 503, faults: [] });
  });

  test('silence, once the deadline is over', async () => {
    reply = undefined;
    const startedMs = performance.now();
    expect(await refusal()).toEqual({ status: 503, faults: [] });
    expect(performance.now() - startedMs).toBeLessThan(4000);
  });

  test('a failure is not remembered: the next call asks again', async () => {
    const token = fresh();
    reply = saying('garbage');
    expect(await statusOf(token)).toBe(503);
    reply = saying('{"active":true}');
    expect(await statusOf(token)).toBe(200);
  });

  test('a connection refused, with readiness false naming auth_ready until it answers again', async () => {
    const { port } = auth.address() as AddressInfo;
    auth.closeAllConnections();
    auth.close();
    await once(auth, 'close');
    expect(await refusal()).toEqual({ status: 503, faults: [] });
    const ready = await fetch(`${service.metricsUrl}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ conditions: { auth_ready: false }, missing: [expect.stringContaining('auth_ready')] });

    auth.listen(port, '127.0.0.1');
    await once(auth, 'listening');
    await eventually('it is asked again', 3000, async () => (await statusOf(fresh())) === 200);
    await eventually('readiness is back', 3000, async () => (await fetch(`${service.metricsUrl}/readyz`)).status === 200);
  });
});

describe.concurrent('serve refuses to start', () => {
  test.each(['http://10.0.0.1/introspect', 'http://auth.example/introspect', 'http://127.0.0.1.example/introspect', 'http://localhost.example/', 'ftp://127.0.0.1/', 'file:///etc/passwd', 'introspect', 'http://user@10.0.0.1:80/'])('with tokens to travel in the open to %s', async (url) => {
    const scratch = mkdtempSync(join(tmpdir(), 'ron-kms-url-'));
    const { exitCode, stdout, stderr } = await refusedStart(['--auth-mode', 'introspect', '--auth-introspect-url', url], scratch);
    rmSync(scratch, { recursive: true });
    expect(exitCode).toBeGreaterThan(0);
    expect(stdout).toBe('');
    expect(stderr).toContain('auth.introspect_url');
  });

  test('with nobody to ask', async () => {
    const { exitCode, stderr } = await refusedStart(['--auth-mode', 'introspect'], tmpdir());
    expect(exitCode).toBeGreaterThan(0);
    expect(stderr).toContain('auth.introspect_url');
  });
});

test('no token was written to the log', async () => {
  expect((await logUntilNow(service)).includes(fresh().slice(0, 60))).toBe(false);
});
