import type { CollectedSpan, OtlpCollector } from '../harness/otlp-collector.ts';
import type { PolicyServer } from '../harness/policy-server.ts';
import type { TestService } from '../harness/service.ts';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { startOtlpCollector } from '../harness/otlp-collector.ts';
import { startPolicyServer } from '../harness/policy-server.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey, startService, tokenOf } from '../harness/service.ts';

const DIGEST = 'ab'.repeat(32);
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CORR = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';

let collector: OtlpCollector;
let policy: PolicyServer;
let service: TestService;

beforeAll(async () => {
  policy = await startPolicyServer();
});
afterAll(() => policy.crash());
beforeEach(async () => {
  collector = await startOtlpCollector();
  service = await startService({ flags: ['--observability-otlp-url', collector.url, '--policy-mode', 'http', '--policy-url', policy.url, '--policy-cache-ttl', '0s', '--policy-deadline', '10s'] });
});
afterEach(async () => {
  await service.stop();
  await collector.stop();
});

async function signAs(kid: string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${service.apiUrl}/v1/kms/sign`, { method: 'POST', headers: { 'authorization': `Bearer ${tokenOf()}`, 'content-type': 'application/json', ...headers }, body: JSON.stringify({ kid, payload_b3: DIGEST }) });
}

function spansOf(traceId: string, count: number): Promise<readonly CollectedSpan[]> {
  return eventually(`${count} spans of a trace`, 10_000, () => {
    const found = collector.spans.filter((span) => span.traceId === traceId);
    return found.length >= count && found;
  });
}

test('a sign is one trace, in that of its caller, through policy, backend and log, with its correlation id', async () => {
  const { kid } = await createKey(service);
  policy.headers.length = 0;
  const answer = await signAs(kid, { 'traceparent': `00-${TRACE}-b7ad6b7169203331-01`, 'x-corr-id': CORR });
  const spans = await spansOf(TRACE, 4);
  const operation = spans.find(({ name }) => name === 'kms.sign');
  expect(operation?.parentSpanId).toBe('b7ad6b7169203331');
  expect(operation?.attributes).toMatchObject({ 'kms.event': 'sign', 'kms.alg': 'ed25519+ml-dsa', 'kms.result': 'ok', 'kms.corr_id': CORR, 'kms.request_id': answer.headers.get('x-request-id'), 'kms.tenant': 'core', 'kms.kid_version': 1 });
  const parts = spans.filter(({ parentSpanId }) => parentSpanId === operation?.spanId).map(({ name }) => name);
  expect(parts.toSorted()).toEqual(['audit.append', 'custody.sign', 'policy.decide']);

  const asked = spans.find(({ name }) => name === 'policy.decide');
  expect(policy.headers.map(({ traceparent, 'x-corr-id': corrId }) => [traceparent, corrId])).toEqual([[`00-${TRACE}-${asked?.spanId}-01`, CORR]]);
});

test('calls without a trace begin one each; a refusal says its code, and is an error only where it is ours', async () => {
  const { kid } = await createKey(service);
  await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
  await call(service, 'POST', '/sign', { kid: String(kid).replace('#v1', '#v7'), payload_b3: DIGEST });
  policy.answer((_input, response) => { response.destroy(); });
  onTestFinished(() => policy.answer(() => ({ result: { allow: true } })));
  await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
  const signs = await eventually('three spans', 10_000, () => {
    const found = collector.spans.filter(({ name }) => name === 'kms.sign');
    return found.length === 3 && found;
  });
  expect(new Set(signs.map(({ traceId }) => traceId)).size).toBe(3);
  expect(signs.map(({ attributes, statusCode = 0 }) => [attributes['error.type'], statusCode])).toEqual([[undefined, 0], ['NotFound', 0], ['PolicyUnavailable', 2]]);
});

test('a trace says no more than the log: no token, no payload, no kid', async () => {
  const { kid } = await createKey(service, { labels: { team: 'crimson' } });
  const payload = Buffer.from('the deed of the house').toString('base64');
  await call(service, 'POST', '/sign', { kid, payload_b64: payload });
  await eventually('it is collected', 10_000, () => collector.spans.some(({ name }) => name === 'kms.sign'));
  for (const hidden of [payload, tokenOf(), String(kid), 'crimson', 'the deed']) expect(collector.bodies.join('')).not.toContain(hidden);
});

test('what a caller says of its trace is taken only when it is one', async () => {
  const { kid } = await createKey(service);
  for (const traceparent of ['nonsense', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `00-${TRACE}-b7ad6b7169203331`, 'x'.repeat(4000)]) {
    expect((await signAs(kid, { traceparent })).status).toBe(200);
  }
  await eventually('four spans', 10_000, () => collector.spans.filter(({ name }) => name === 'kms.sign').length === 4);
  expect(collector.spans.every(({ traceId }) => traceId !== TRACE)).toBe(true);
});

test('a collector that is gone, or refuses, costs no operation, and the log says so', async () => {
  const { kid } = await createKey(service);
  collector.answer(400);
  expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(200);
  await eventually('the log says so', 15_000, () => service.log().includes('"traces_not_taken"'));
  await collector.stop();
  const codes = await Promise.all(Array.from({ length: 50 }, async () => (await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status));
  expect(new Set(codes)).toEqual(new Set([200]));
  const begun = performance.now();
  expect(await service.stop()).toBe(0);
  expect(performance.now() - begun).toBeLessThan(6000);
  collector = await startOtlpCollector();
  service = await startService();
});

test('a share of traces is a share, also of those that callers want to see', async () => {
  await service.stop();
  service = await startService({ flags: ['--observability-otlp-url', collector.url, '--observability-trace-percent', '0'] });
  const { kid } = await createKey(service);
  expect((await signAs(kid, { traceparent: `00-${TRACE}-b7ad6b7169203331-01` })).status).toBe(200);
  await service.stop();
  expect(collector.spans).toEqual([]);
  service = await startService();
});
