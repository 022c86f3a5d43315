import type { TestService } from '../harness/service.ts';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/poll.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);
const first = `[tenants.slow.quotas]
rps = 3

[tenants.opener.quotas]
rps = 3

[tenants.narrow]
quotas.inflight = 2

[tenants.small]
quotas = { keys = 5 }
attest_require = "never"

[tenants.attested]
attest_require = "required"
`;

let service: TestService;
beforeAll(async () => { service = await startService({ toml: first }); });
afterAll(async () => { await service.stop(); });

const tokens = (tenant: string): string => tokenOf({ caveats: everything(tenant) });
const create = (tenant: string, more: object = {}) => call(service, 'POST', '/keys', { tenant, purpose: 'audit', alg: 'ed25519', ...more }, tokens(tenant));
const sign = (tenant: string, kid: string) => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, tokens(tenant));
const codeOf = async (answer: ReturnType<typeof call>): Promise<string> => (await answer).body['error']?.code ?? 'ok';

const untilDone = (path: string, body: object): Promise<any> => eventually(`there is room for ${path}`, 5000, async () => {
  const answer = await call(service, 'POST', path, body, tokens('opener'));
  return answer.status < 300 && answer.body;
});

/** Of fifty calls at once no more are answered than three and three a second for as long as it took; the others are refused. */
async function requireRate(send: (i: number) => ReturnType<typeof call>): Promise<void> {
  const startedMs = performance.now();
  const codes = await Promise.all(Array.from({ length: 50 }, (_, i) => codeOf(send(i))));
  expect(new Set(codes)).toEqual(new Set([...codes.filter((code) => code === 'ok'), 'QuotaExceeded']));
  expect(codes.filter((code) => code === 'ok').length).toBeLessThanOrEqual(3 + Math.ceil(3 * (performance.now() - startedMs) / 1000));
}

const list = async (): Promise<any[]> => (await call(service, 'GET', '/keys', undefined, tokens('small'))).body['keys'];

describe('operations a second', () => {
  test('are held for all kinds together, and only for the tenant they were set for', async () => {
    const { kid } = (await create('slow')).body;
    const { body: { sigs } } = await sign('slow', kid);
    const verify = () => call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, tokens('slow'));
    await requireRate((i) => (i % 2 === 0 ? sign('slow', kid) : verify()));

    const { kid: other } = await createKey(service);
    expect(new Set(await Promise.all(Array.from({ length: 50 }, () => codeOf(call(service, 'POST', '/sign', { kid: other, payload_b3: DIGEST })))))).toEqual(new Set(['ok']));
  });

  test('are refused with 429 and when to come again; a batch costs its items', async () => {
    const { body: { kid } } = await eventually('a key is made', 5000, async () => {
      const answer = await create('slow');
      return answer.status === 201 ? answer : undefined;
    });
    const { body } = await call(service, 'POST', '/sign/batch', { items: Array.from({ length: 20 }, () => ({ kid, payload_b3: DIGEST })) }, tokens('slow'));
    const refused = body['items'].filter((item: any) => item.error !== undefined);
    expect(refused.length).toBeGreaterThanOrEqual(16);
    expect(new Set(refused.map((item: any) => item.error.code))).toEqual(new Set(['QuotaExceeded']));
    const { status, headers } = await sign('slow', kid);
    expect([status, headers.get('retry-after')]).toEqual([429, '1']);
  });

  test('are creates, too', async () => {
    await requireRate(() => create('slow'));
  });

  test.each(['/unwrap', '/rewrap'])('are those of %s, too', async (path) => {
    const { kid } = await untilDone('/keys', { tenant: 'opener', purpose: 'wrap', alg: 'aes-256-gcm' });
    const { wrapped_b64 } = await untilDone('/wrap', { kid, size: 32 });
    await requireRate(() => call(service, 'POST', path, { wrapped_b64 }, tokens('opener')));
  });
});

test('operations at once: those beyond are refused, and each gives its place back, done or refused', async () => {
  const { kid } = (await create('narrow')).body;
  for (let round = 0; round < 3; round++) {
    const codes = await Promise.all(Array.from({ length: 40 }, () => codeOf(sign('narrow', kid))));
    expect(new Set(codes)).toEqual(new Set(['ok', 'QuotaExceeded']));
  }
  for (let i = 0; i < 5; i++) expect(await codeOf(sign('narrow', kid))).toBe('ok');
});

describe('keys', () => {
  test('there are never more than was set, also when they are made at once', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => create('small')));
    expect(answers.filter(({ status }) => status === 201).length).toBeLessThanOrEqual(5);
    await eventually('five are there', 5000, async () => {
      await create('small');
      return (await list()).length === 5;
    });
    const { status, body, headers } = await create('small');
    expect([status, body['error'].code, headers.get('retry-after')]).toEqual([429, 'QuotaExceeded', '60']);
    expect(await list()).toHaveLength(5);
  });

  test('that are there may be used and rotated; a destroyed one still counts', async () => {
    const [{ kid }] = await list();
    expect(await codeOf(sign('small', kid))).toBe('ok');
    expect(await codeOf(call(service, 'POST', `/keys/${encodeURIComponent(kid.split('#')[0])}/rotate`, {}, tokens('small')))).toBe('ok');
    expect(await codeOf(call(service, 'POST', `/keys/${encodeURIComponent(kid.split('#')[0])}/destroy`, {}, tokens('small')))).toBe('ok');
    expect(await codeOf(create('small'))).toBe('QuotaExceeded');
  });

  test('are counted by tenant and algorithm in the metrics', async () => {
    const text = await (await fetch(`${service.metricsUrl}/metrics`)).text();
    expect(text).toContain('kms_keys_total{tenant="small",alg="ed25519"} 5');
  });

  test('a replay of a create makes none, so it is answered', async () => {
    const made = await createKey(service, { tenant: 'core', op_id: 'once' });
    expect((await createKey(service, { tenant: 'core', op_id: 'once' }))['kid']).toBe(made['kid']);
  });
});

test('evidence that is required of one tenant is required of no other', async () => {
  const { kid } = (await create('attested')).body;
  expect(await codeOf(sign('attested', kid))).toBe('AttestationMissing');
  const { kid: other } = await createKey(service);
  expect(await codeOf(call(service, 'POST', '/sign', { kid: other, payload_b3: DIGEST }))).toBe('ok');
});

test('a quota is raised by a reload, without a restart', async () => {
  writeFileSync(join(service.directory, 'kms.toml'), first.replace('keys = 5', 'keys = 6'));
  process.kill(service.pid, 'SIGHUP');
  await eventually('there is room for one more', 5000, async () => (await create('small')).status === 201);
  expect(await codeOf(create('small'))).toBe('QuotaExceeded');
});
