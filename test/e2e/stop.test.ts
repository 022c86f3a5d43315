import type { Serving } from '../harness/service.ts';
import type { Place, Wire } from '../harness/wire.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DIGEST, endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { openWire, statusesIn } from '../harness/wire.ts';

let root: string;
let instance: Awaited<ReturnType<typeof initInstance>>;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-stop-'));
  instance = await initInstance(root, { always: ['--uds-path', join(root, 'uds', 'kms.sock')] });
});
afterAll(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

interface Answered {
  readonly op: string;
  readonly opId: string;
  readonly kid: string;
  readonly index: number | undefined;
}

/** A client that asks one thing after the other until the service is gone; notes what was answered 200 or 201. */
async function askOn(service: Serving, kid: string, client: number, answered: Answered[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; ; i++) {
    const [opId, op] = [`c${client}-${i}`, i % 4 === 0 ? 'create' : 'sign'];
    const [path, body] = op === 'create' ? ['/keys', { tenant: 'core', purpose: 'audit', op_id: opId }] : ['/sign', { kid, payload_b3: DIGEST, op_id: opId }];
    const answer = await post(service, agent, path, body).catch(() => undefined);
    if (answer === undefined) break;
    expect([200, 201]).toContain(answer.status);
    answered.push({ op, opId, kid: answer.body.kid, index: answer.body.audit?.index });
  }
  agent.destroy();
}

function post(service: Serving, agent: Agent, path: string, body: object): Promise<{ readonly status: number; readonly body: any }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${service.apiUrl}/v1/kms${path}`, { agent, method: 'POST', headers: { authorization: `Bearer ${OPERATOR}`, 'content-type': 'application/json' } }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => { text += chunk.toString(); });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

test('told to stop under load, it answers what it took, and everything that was answered is there at the next start', { timeout: 60_000 }, async () => {
  const service = await instance.start();
  await untilReady(service);
  const { kid } = await createKey(service, {}, OPERATOR);
  const answered: Answered[] = [];
  const clients = Array.from({ length: 24 }, (_, client) => askOn(service, kid, client, answered));
  await eventually('the load is on', 20_000, () => answered.length > 500);
  expect(await service.end('SIGTERM')).toBe(0);
  await Promise.all(clients);

  const next = await instance.start();
  await untilReady(next);
  const entries = new Map<string, any>();
  for (let from = 0; ;) {
    const { body } = await call(next, 'GET', `/audit/records?from=${from}&limit=1000&result=ok`, undefined, OPERATOR);
    for (const { index, entry } of body['records']) entries.set(entry.op_id, { index, ...entry });
    if (body['records'].length === 0) break;
    from = body['records'].at(-1).index + 1;
  }
  expect(answered.length).toBeGreaterThan(500);
  for (const { op, opId, kid: of, index } of answered) {
    expect(entries.get(opId)).toMatchObject({ op, kid: of, result: 'ok', ...(index !== undefined && { index }) });
  }
  const last = answered.findLast(({ op }) => op === 'create');
  expect((await call(next, 'POST', '/sign', { kid: last?.kid, payload_b3: DIGEST }, OPERATOR)).status).toBe(200);
  expect(await next.end('SIGTERM')).toBe(0);
});

const BODY = '{"tenant":"core","purpose":"audit"}';

/** A request whose head the service has read, and whose body is still to come. */
async function beginCreate(place: Place): Promise<Wire> {
  const wire = await openWire(place);
  wire.send(`POST /v1/kms/keys HTTP/1.1\r\nhost: kms\r\nauthorization: Bearer ${OPERATOR}\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\nexpect: 100-continue\r\n\r\n`);
  await eventually('its head was read', 10_000, () => wire.text().includes('100 Continue'));
  return wire;
}

test.each(['tcp', 'uds'])('from the moment it is told to stop it is not ready and takes no connection; a request under way over %s is answered, and idle connections end', { timeout: 30_000 }, async (way) => {
  const service = await instance.start();
  await untilReady(service);
  const place = way === 'tcp' ? { url: service.apiUrl } : { socketPath: join(root, 'uds', 'kms.sock') };
  const idle = await openWire(place);
  idle.send(`GET /v1/kms/token HTTP/1.1\r\nhost: kms\r\nauthorization: Bearer ${OPERATOR}\r\n\r\n`);
  await eventually('it is answered', 10_000, () => statusesIn(idle.text()).length === 1);
  const busy = await beginCreate(place);

  process.kill(service.pid, 'SIGTERM');
  await eventually('it is not ready', 10_000, async () => (await readinessOf(service)).missing.includes('listener_bound'));
  await idle.closed(10_000);
  const late = await openWire(place);
  await late.closed(10_000);
  busy.send(BODY);
  await busy.closed(10_000);
  expect(statusesIn(busy.text())).toEqual([201]);
  expect(/^connection: close\r$/im.test(busy.text())).toBe(true);
  expect(await service.gone()).toBe(0);
});

test('what takes longer than the drain is cut off, a handshake too, and it ends all the same', { timeout: 30_000 }, async () => {
  const service = await instance.start({ flags: ['--read-timeout', '60s'] });
  const stuck = await beginCreate({ url: service.apiUrl });
  const silent = await openWire({ socketPath: join(root, 'uds', 'kms.sock') });
  expect(await service.end('SIGTERM')).toBe(0);
  await Promise.all([stuck.closed(1000), silent.closed(1000)]);
});

test('told to stop a second time it does not wait any more', { timeout: 30_000 }, async () => {
  const service = await instance.start({ flags: ['--read-timeout', '60s'] });
  await beginCreate({ url: service.apiUrl });
  process.kill(service.pid, 'SIGTERM');
  await eventually('it stops', 10_000, async () => (await readinessOf(service)).missing.includes('listener_bound'));
  process.kill(service.pid, 'SIGTERM');
  expect(await service.gone()).not.toBe(0);
  const next = await instance.start();
  await untilReady(next);
  expect(await next.end('SIGTERM')).toBe(0);
});
