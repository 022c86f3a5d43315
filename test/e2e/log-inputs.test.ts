import type { TestService } from '../harness/service.ts';
import { afterEach, expect, test } from 'vitest';
import { eventually } from '../harness/poll.ts';
import { call, createKey, startService } from '../harness/service.ts';

let service: TestService;
afterEach(async () => { await service.stop(); });

const SECRET = Buffer.from('the deed of the house').toString('base64');

async function lines(event: string): Promise<readonly Record<string, unknown>[]> {
  return eventually(`a line ${event}`, 5000, () => {
    const found = service.log().split('\n').filter((line) => line.includes(`"event":"${event}"`)).map((line) => JSON.parse(line) as Record<string, unknown>);
    return found.length > 0 && found;
  });
}

test('observability.log_inputs tells the fields of a request and how long they are, and nothing that is in them', async () => {
  service = await startService({ flags: ['--observability-log-inputs', 'true'] });
  const { kid } = await createKey(service, { labels: { team: 'crimson' }, policy_hints: { risk: 'enormous' } });
  const { body, headers } = await call(service, 'POST', '/sign', { kid, payload_b64: SECRET });
  await call(service, 'POST', '/sign/batch', { items: [{ kid, payload_b64: SECRET }, { kid, payload_b64: SECRET }] });
  await call(service, 'POST', '/verify', { kid, payload_b64: SECRET, sigs: body['sigs'], policy: { mode: 'and' } });
  await lines('verify');
  const inputs = await lines('inputs');
  expect(inputs.map(({ path, inputs: what }) => [path, what])).toEqual([
    ['/v1/kms/keys', 'tenant:4 purpose:5 labels:1 policy_hints:1'],
    ['/v1/kms/sign', `kid:${String(kid).length} payload_b64:${SECRET.length}`],
    ['/v1/kms/sign/batch', 'items:2'],
    ['/v1/kms/verify', `kid:${String(kid).length} payload_b64:${SECRET.length} sigs:2 policy:1`],
  ]);
  expect(inputs[1]?.['request_id']).toBe(headers.get('x-request-id'));
  for (const hidden of [SECRET, 'crimson', 'team', 'enormous', 'risk', String(kid)]) expect(service.log()).not.toContain(hidden);
});

test('without it no line tells of inputs', async () => {
  service = await startService({ toml: '[observability]\nlog_inputs = false\n' });
  await createKey(service);
  await lines('create');
  expect(service.log()).not.toContain('"event":"inputs"');
});

test('observability.correlation_id_mode says what ids are made as; a caller\'s own goes through', async () => {
  service = await startService({ flags: ['--observability-correlation-id-mode', 'uuidv4'] });
  const { headers } = await call(service, 'GET', '/token');
  expect([headers.get('x-request-id')?.[14], headers.get('x-corr-id')?.[14]]).toEqual(['4', '4']);
  await service.stop();
  service = await startService();
  expect((await call(service, 'GET', '/token')).headers.get('x-corr-id')?.[14]).toBe('7');
});

test('a service under old names starts, and its log says which', async () => {
  service = await startService({ toml: 'rollout_percent = 40\n' });
  expect((await lines('setting_renamed'))[0]?.['what']).toMatch(/rollout_percent is pq\.rollout_percent by now/);
  expect(await (await fetch(`${service.metricsUrl}/metrics`)).text()).toContain('kms_pq_rollout_percent 40');
});
