import type { Serving } from '../harness/service.ts';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DIGEST, endInstances, initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { faultsOfRefusal } from '../harness/refusal.ts';
import { call, createKey, everything, tokenOf } from '../harness/service.ts';

let root: string;
let service: Serving;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-flood-'));
  const instance = await initInstance(root, { always: ['--security-max-inflight-sign', '96', '--max-conns-per-peer', '400'] });
  service = await instance.start();
  await untilReady(service);
});
afterAll(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly header: (name: string) => string | null;
}

function sign(agent: Agent, kid: string, token: string): Promise<Answer> {
  const body = JSON.stringify({ kid, payload_b3: DIGEST });
  return new Promise((resolve, reject) => {
    const sent = request(`${service.apiUrl}/v1/kms/sign`, { agent, method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': body.length } }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => { text += chunk.toString(); });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text, header: (name) => response.headers[name]?.toString() ?? null }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** So many clients, each asking again as soon as it is answered; gives all answers. */
async function flood(clients: number, each: number, kid: string, token: string): Promise<readonly Answer[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const answers = await Promise.all(Array.from({ length: clients }, async () => {
    const own: Answer[] = [];
    for (let i = 0; i < each; i++) own.push(await sign(agent, kid, token));
    return own;
  }));
  agent.destroy();
  return answers.flat();
}

const numberOf = async (pattern: RegExp): Promise<number> => Number(pattern.exec(await (await fetch(`${service.metricsUrl}/metrics`)).text())?.[1] ?? 0);

test('in a flood each answer is a signature or a refusal, every signature is in the log, and every refusal is counted', { timeout: 60_000 }, async () => {
  const { kid } = await createKey(service, {}, OPERATOR);
  const answers = await flood(200, 20, kid, OPERATOR);
  const [signed, refused] = [answers.filter(({ status }) => status === 200), answers.filter(({ status }) => status === 429)];
  expect(signed.length + refused.length).toBe(answers.length);
  expect(signed.length).toBeGreaterThan(20);
  expect(refused.length).toBeGreaterThan(1000);
  expect([...new Set(refused.flatMap((answer) => faultsOfRefusal(answer, ['Backpressure'])))]).toEqual([]);
  expect(new Set(refused.map(({ header }) => header('x-request-id'))).size).toBe(refused.length);

  const indices = signed.map(({ text }) => (JSON.parse(text) as { audit: { index: number } }).audit.index);
  expect(new Set(indices).size).toBe(indices.length);
  const { body } = await call(service, 'GET', `/audit/records?op=sign&result=ok&kid=${encodeURIComponent(kid)}&limit=1000`, undefined, OPERATOR);
  expect(body['records'].map(({ index }: { index: number }) => index).slice(0, 900)).toEqual(indices.toSorted((a, b) => a - b).slice(0, 900));

  expect(await numberOf(/busy_rejections_total\{queue="sign"\} (\d+)/)).toBe(refused.length);
  expect(await numberOf(/kms_reject_total\{reason="backpressure"\} (\d+)/)).toBe(refused.length);
  // Most of them at the door: they never became an operation.
  expect(await numberOf(/kms_ops_total\{op="sign",alg="[^"]*",result="Backpressure"\} (\d+)/)).toBeLessThan(refused.length / 2);
});

test.skipIf(process.platform !== 'linux')('the threads that work with keys stand behind the one that serves', async () => {
  await createKey(service, {}, OPERATOR);
  const tasks = `/proc/${service.pid}/task`;
  const niceOf = (id: string): number => Number(readFileSync(`${tasks}/${id}/stat`, 'latin1').split(') ')[1]?.split(' ')[16]);
  const pool = readdirSync(tasks).filter((id) => readFileSync(`${tasks}/${id}/comm`, 'latin1') === 'libuv-worker\n');
  expect(pool.length).toBe(4);
  expect(pool.map((id) => niceOf(id) - niceOf(String(service.pid)))).toEqual([10, 10, 10, 10]);
});

test('a tenant that asks for little is served while another floods', { timeout: 60_000 }, async () => {
  const greedy = (await createKey(service, {}, OPERATOR))['kid'] as string;
  const modest = (await createKey(service, { tenant: 'modest' }, OPERATOR))['kid'] as string;
  const token = tokenOf({ caveats: everything('modest') });
  const ended = new AbortController();
  const pressing = flood(200, 25, greedy, OPERATOR).finally(() => ended.abort());
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const own: number[] = [];
  while (!ended.signal.aborted) own.push((await sign(agent, modest, token)).status);
  agent.destroy();
  const others = await pressing;
  expect(others.filter(({ status }) => status === 429).length).toBeGreaterThan(500);
  // It is refused once at most: what told the service that it is a rush.
  expect(own.length).toBeGreaterThan(5);
  expect(own.filter((status) => status !== 200).length).toBeLessThanOrEqual(1);
});

test('who is refused at the door is only who was refused behind it: another token, another path and a good time later are let in', { timeout: 30_000 }, async () => {
  const { kid } = await createKey(service, {}, OPERATOR);
  await flood(100, 5, kid, OPERATOR);
  expect((await call(service, 'GET', '/token', undefined, OPERATOR)).status).toBe(200);
  expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, `${OPERATOR.slice(0, -4)}AAAA`)).status).toBe(401);
  expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR)).status).toBe(200);
});
