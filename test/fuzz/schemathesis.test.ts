import type { TestService } from '../harness/service.ts';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { algNames } from '../../src/core/algorithm/table.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';
import { IS_SCHEMATHESIS_HERE, runSchemathesis, SCHEMATHESIS_MISSING } from './schemathesis.ts';

if (!IS_SCHEMATHESIS_HERE) console.warn(SCHEMATHESIS_MISSING);

/** An answer as it is passed on. */
interface Passed {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

describe.skipIf(!IS_SCHEMATHESIS_HERE)('the API and /openapi.json, as schemathesis sees them', () => {
  let service: TestService;
  const token = tokenOf({ caveats: everything('*') });
  const kids: string[] = [];
  let wrapped = '';
  beforeAll(async () => {
    service = await startService();
    for (const alg of algNames) kids.push(String((await createKey(service, { alg }, token))['kid']));
    wrapped = String((await call(service, 'POST', '/wrap', { kid: kids.find((kid) => kid.includes('aes')), size: 32 }, token)).body['wrapped_b64']);
  });
  afterAll(async () => { await service.stop(); });

  const run = (url: string, examples: number, flags: readonly string[] = []) => runSchemathesis({ url, token, kids, wrapped, examples, flags });

  test('every call, right or wrong, is answered as the document says', { timeout: 180_000 }, async () => {
    const { code, said } = await run(service.apiUrl, 12);
    expect(code, said).toBe(0);
    // They got to where keys are used, not only to where texts are refused.
    const metrics = await (await fetch(`${service.metricsUrl}/metrics`)).text();
    for (const op of ['sign', 'verify', 'wrap', 'unwrap', 'rewrap', 'rotate', 'patch', 'disable']) expect(metrics).toMatch(new RegExp(`kms_ops_total\\{op="${op}",[^}]*result="(ok|invalid)"\\} [1-9]`));
  });

  test.each([
    ['a member of another type', 'Response violates schema', (answer: Passed) => ({ ...answer, text: answer.text.replace(/"client_id":"\w+"/, '"client_id":1') })],
    ['a member that nobody knows', 'Response violates schema', (answer: Passed) => ({ ...answer, text: answer.text.replace('{', '{"extra":1,') })],
    ['another content type', 'Undocumented Content-Type', (answer: Passed) => ({ ...answer, type: 'text/html' })],
    ['a status that is none of ours', 'Undocumented status code', (answer: Passed) => ({ ...answer, status: 418 })],
    ['a fault', 'Server error', (answer: Passed) => ({ ...answer, status: 500 })],
  ])('a server that answers with %s is caught', { timeout: 60_000 }, async (_what, words, change) => {
    const { code, said } = await run(await before(service.apiUrl, '/v1/kms/token', change), 2, ['--include-path', '/v1/kms/token']);
    expect([code, said]).toEqual([1, expect.stringContaining(words)]);
  });

  test('and so is one that takes what its schema refuses', { timeout: 60_000 }, async () => {
    const { kid } = await createKey(service, { alg: 'aes-256-gcm' }, token);
    const made = await call(service, 'POST', '/wrap', { kid, size: 32 }, token);
    const taken = await call(service, 'POST', '/unwrap', { wrapped_b64: made.body['wrapped_b64'] }, token);
    const url = await before(service.apiUrl, '/v1/kms/unwrap', (answer) => (answer.status === 400 ? { ...answer, status: 200, text: JSON.stringify(taken.body) } : answer));
    const { code, said } = await run(url, 2, ['--include-path', '/v1/kms/unwrap']);
    expect([code, said]).toEqual([1, expect.stringContaining('Schema-violating request accepted')]);
  });
});

/** A server in front of the service that changes what one path answers. */
async function before(apiUrl: string, path: string, change: (answer: Passed) => Passed): Promise<string> {
  const server = createServer((request, response) => {
    const pass = async (): Promise<void> => {
      // Any method, as it came: fetch would not send all of them.
      const ahead = ask(apiUrl + request.url, { method: request.method, headers: request.headers });
      ahead.end(Buffer.concat(await request.toArray()));
      const [answered] = await once(ahead, 'response') as [IncomingMessage];
      const plain = { status: answered.statusCode ?? 0, type: answered.headers['content-type'] ?? '', text: Buffer.concat(await answered.toArray()).toString('utf8') };
      const { status, type, text } = request.url?.split('?')[0] === path ? change(plain) : plain;
      response.writeHead(status, { 'content-type': type }).end(text);
    };
    pass().catch(() => response.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
