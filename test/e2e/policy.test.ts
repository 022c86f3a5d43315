import type { PolicyAnswers, PolicyServer } from '../harness/policy-server.ts';
import type { TestService } from '../harness/service.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../harness/poll.ts';
import { NOTHING, startPolicyServer } from '../harness/policy-server.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);
/** Longer than a slow machine takes to answer; a server that is silent costs a test that much. */
const DEADLINE = '500ms';

let policy: PolicyServer;
let service: TestService;
let hybrid: string;
let classical: string;
let wrapping: string;
let sigs: unknown;

beforeAll(async () => {
  policy = await startPolicyServer();
  service = await startService({ flags: ['--policy-mode', 'http', '--policy-url', policy.url, '--policy-cache-ttl', '0s', '--policy-deadline', DEADLINE] });
  hybrid = (await createKey(service, { labels: { team: 'red' }, policy_hints: { risk: 'low' } }))['kid'] as string;
  classical = (await createKey(service, { alg: 'ed25519' }))['kid'] as string;
  wrapping = (await createKey(service, { alg: 'chacha20-poly1305' }))['kid'] as string;
  sigs = (await sign(hybrid)).body['sigs'];
});
afterAll(async () => {
  await service.stop();
  await policy.crash();
});
beforeEach(async () => {
  policy.answer(() => ({ result: { allow: true } }));
  policy.asked.length = 0;
  // What a test before has broken is whole again.
  await eventually('the policy is asked again', 20_000, async () => (await sign(hybrid)).status === 200);
  policy.asked.length = 0;
});

const sign = (kid: string, more: object = {}) => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST, ...more });
const verify = (kid: string, more: object = {}) => call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs, ...more });
const codeOf = async (answer: ReturnType<typeof call>): Promise<unknown> => (await answer).body['error']?.code ?? 'ok';
const degraded = async (): Promise<string> => JSON.stringify(((await (await fetch(`${service.metricsUrl}/healthz`)).json()) as { degraded: string[] }).degraded);
const rejected = async (reason: string): Promise<number> => Number(new RegExp(`kms_reject_total\\{reason="${reason}"\\} (\\d+)`).exec(await (await fetch(`${service.metricsUrl}/metrics`)).text())?.[1]);
const lastEntry = async (query: string): Promise<Record<string, any>> => {
  const auditor = tokenOf({ caveats: everything('*') });
  const { body } = await call(service, 'GET', `/audit/records?limit=1000&${query}`, undefined, auditor);
  return body['records'].at(-1)['entry'];
};

describe('what the policy service is asked', () => {
  test('who wants what of which key, with its labels and the hints it was made with, and what the request asks for', async () => {
    await sign(hybrid, { policy: { produce_hybrid: true } });
    expect(policy.asked).toEqual([{
      op: 'sign', tenant: 'core', purpose: 'audit', alg: 'ed25519+ml-dsa', kid: hybrid, client_id: 'tester', peer: '127.0.0.1',
      labels: { team: 'red' }, policy_hints: { risk: 'low' }, requested: { produce_hybrid: true },
    }]);
    await verify(hybrid, { policy: { mode: 'and' } });
    expect(policy.asked[1]).toMatchObject({ op: 'verify', kid: hybrid, requested: { mode: 'and' } });
  });

  test('before every operation on a key, of one that is yet to be made too', async () => {
    const made = (await createKey(service, { labels: { a: 'b' }, policy_hints: { risk: 7 } }))['kid'] as string;
    expect(policy.asked).toEqual([{ op: 'create', tenant: 'core', purpose: 'audit', alg: 'ed25519+ml-dsa', client_id: 'tester', peer: '127.0.0.1', labels: { a: 'b' }, policy_hints: { risk: 7 }, requested: {} }]);
    const at = `/keys/${encodeURIComponent(made)}`;
    await call(service, 'PATCH', at, { labels: {} });
    await call(service, 'POST', `${at}/rotate`, {});
    for (const op of ['disable', 'enable', 'destroy', 'restore']) await call(service, 'POST', `${at}/${op}`, {});
    const { body: { wrapped_b64 } } = await call(service, 'POST', '/wrap', { kid: wrapping, size: 32 });
    await call(service, 'POST', '/rewrap', { wrapped_b64 });
    await call(service, 'POST', '/unwrap', { wrapped_b64 });
    // As the key was made.
    for (const { policy_hints: hints } of policy.asked.slice(1, 7)) expect(hints).toEqual({ risk: 7 });
    expect(policy.asked.map(({ op }) => op)).toEqual(['create', 'patch', 'rotate', 'disable', 'enable', 'destroy', 'restore', 'wrap', 'rewrap', 'unwrap']);
  });

  test('nothing of a request that is refused already: no token, not admitted, no such key', async () => {
    expect(await codeOf(call(service, 'POST', '/sign', { kid: hybrid, payload_b3: DIGEST }, tokenOf({ caveats: everything('other') })))).toBe('NoCapability');
    expect(await codeOf(sign('core/audit/ed25519/01890000-0000-7000-8000-000000000001'))).toBe('NotFound');
    expect(policy.asked).toEqual([]);
  });
});

describe('what it may say', () => {
  test('no: the caller is refused without its reason, and the entry has its decision_id', async () => {
    policy.answer(({ op }) => ({ result: { allow: op !== 'sign', reason: 'the secret reason', decision_id: 'd-17' } }));
    const { status, body } = await sign(hybrid);
    expect([status, body['error'].code]).toEqual([403, 'PolicyDenied']);
    expect(JSON.stringify(body)).not.toContain('secret reason');
    expect(await lastEntry('op=sign&result=PolicyDenied')).toMatchObject({ result: 'PolicyDenied', policy: { decision_id: 'd-17' } });
    expect(await rejected('policy')).toBeGreaterThan(0);
  });

  test('no, to each operation: nothing of it is done', async () => {
    const { body: { wrapped_b64 } } = await call(service, 'POST', '/wrap', { kid: wrapping, size: 32 });
    const before = await call(service, 'GET', `/keys/${encodeURIComponent(hybrid)}`);
    policy.answer(() => ({ result: { allow: false } }));
    const at = `/keys/${encodeURIComponent(hybrid)}`;
    const tries = [
      call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }), call(service, 'PATCH', at, { labels: { x: 'y' } }),
      ...['rotate', 'disable', 'destroy'].map((op) => call(service, 'POST', `${at}/${op}`, {})),
      sign(hybrid), verify(hybrid), call(service, 'POST', '/wrap', { kid: wrapping, size: 32 }),
      call(service, 'POST', '/unwrap', { wrapped_b64 }), call(service, 'POST', '/rewrap', { wrapped_b64 }),
    ];
    expect(await Promise.all(tries.map(codeOf))).toEqual(tries.map(() => 'PolicyDenied'));
    expect((await call(service, 'GET', `/keys/${encodeURIComponent(hybrid)}`)).body).toEqual(before.body);
  });

  test('something stricter, which then counts', async () => {
    policy.answer(() => ({ result: { allow: true, mode: 'and', decision_id: 'strict' } }));
    expect(await codeOf(sign(classical))).toBe('PqPolicy');
    expect((await verify(hybrid)).body['details'].mode).toBe('and');
    expect(await lastEntry('op=verify&result=ok')).toMatchObject({ policy: { mode: 'and', decision_id: 'strict' } });
    policy.answer(() => ({ result: { allow: true, require_attestation: true } }));
    expect(await codeOf(sign(hybrid))).toBe('AttestationMissing');
  });

  test('nothing looser than the operator set: it is as if it had not said so', async () => {
    const strict = await startService({ flags: ['--policy-mode', 'http', '--policy-url', policy.url, '--policy-cache-ttl', '0s', '--policy-deadline', DEADLINE, '--pq-verify-mode', 'and'] });
    onTestFinished(async () => { await strict.stop(); });
    policy.answer(() => ({ result: { allow: true, mode: 'or', produce_hybrid: false, require_attestation: false } }));
    const kid = (await createKey(strict, {}))['kid'] as string;
    const { body } = await call(strict, 'POST', '/sign', { kid, payload_b3: DIGEST });
    expect(body['sigs'].length).toBe(2);
    expect((await call(strict, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: body['sigs'].slice(0, 1) })).body).toMatchObject({ ok: false, details: { mode: 'and' } });
    expect(await codeOf(call(strict, 'POST', '/keys', { tenant: 'core', purpose: 'audit', alg: 'ed25519' }))).toBe('PqPolicy');
  });

  test('quotas, which are held', async () => {
    policy.answer(() => ({ result: { allow: true, quotas: { rps: 0 } } }));
    const { status, body, headers } = await sign(hybrid);
    expect([status, body['error'].code, headers.get('retry-after')]).toEqual([429, 'QuotaExceeded', '1']);
    policy.answer(() => ({ result: { allow: true, quotas: { keys: 1 } } }));
    expect(await codeOf(call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }))).toBe('QuotaExceeded');
    expect(await codeOf(sign(hybrid))).toBe('ok');
  });
});

/** Each is no answer. The service is asked once for each, so that it is not thought dead. */
const noAnswers: Readonly<Record<string, PolicyAnswers>> = {
  'allow is not a boolean': () => ({ result: { allow: 'true' } }),
  'allow is 1': () => ({ result: { allow: 1 } }),
  'allow is missing': () => ({ result: { mode: 'and' } }),
  'an undefined decision': () => ({}),
  'the result is a bare true': () => ({ result: true }),
  'the result is a list': () => ({ result: [{ allow: true }] }),
  'the answer is a list': () => '[{"result":{"allow":true}}]',
  'an unknown mode': () => ({ result: { allow: true, mode: 'none' } }),
  'a mode that is a list': () => ({ result: { allow: true, mode: ['and'] } }),
  'a misspelt rule': () => ({ result: { allow: true, require_attestatoin: true } }),
  'a quota that is text': () => ({ result: { allow: true, quotas: { rps: '10' } } }),
  'a quota below zero': () => ({ result: { allow: true, quotas: { keys: -1 } } }),
  'a quota of another kind': () => ({ result: { allow: true, quotas: { cpu: 1 } } }),
  'a decision_id that would fill the log': () => ({ result: { allow: true, decision_id: 'x'.repeat(1_000_000) } }),
  'a decision_id with a line break': () => ({ result: { allow: true, decision_id: 'a\nb' } }),
  'allow twice': () => '{"result":{"allow":false,"allow":true}}',
  'a prototype': () => '{"result":{"allow":true,"__proto__":{"mode":"or"}}}',
  'not JSON': () => '{"result":{"allow":true}',
  'nothing': () => '',
  'an answer without end': (_input, response) => {
    response.writeHead(200);
    const more = (): void => { if (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20))) setImmediate(more); };
    response.on('drain', more).on('error', () => undefined);
    more();
    return NOTHING;
  },
  'a redirect to where it is allowed': (_input, response) => response.writeHead(307, { location: policy.url }).end(),
  'a refusal': (_input, response) => response.writeHead(403).end('{"result":{"allow":true}}'),
  'a fault': (_input, response) => response.writeHead(500).end('{"result":{"allow":true}}'),
  'no content': (_input, response) => response.writeHead(204).end(),
  'a connection that ends': (_input, response) => response.destroy(),
  'the head and then silence': (_input, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{"result":');
    return NOTHING;
  },
  'silence': () => NOTHING,
};

describe('what is no answer refuses the call and never allows it', () => {
  test.each(Object.entries(noAnswers))('%s', async (_name, answers) => {
    policy.answer(answers);
    const { status, body, headers } = await sign(hybrid);
    expect([status, body['error'].code, headers.get('retry-after')]).toEqual([503, 'PolicyUnavailable', '1']);
    policy.answer(() => ({ result: { allow: true } }));
    expect(await codeOf(sign(hybrid))).toBe('ok');
  });
});

describe('when nobody answers', () => {
  test('all but verify and reads is refused at once and said so; it goes on by itself when somebody does', { timeout: 30_000 }, async () => {
    const { body: { wrapped_b64 } } = await call(service, 'POST', '/wrap', { kid: wrapping, size: 32 });
    await policy.crash();
    for (let i = 0; i < 5; i++) expect(await codeOf(sign(hybrid))).toBe('PolicyUnavailable');
    expect(await codeOf(call(service, 'POST', '/unwrap', { wrapped_b64 }))).toBe('PolicyUnavailable');
    expect(await codeOf(call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }))).toBe('PolicyUnavailable');

    const { status, body } = await verify(hybrid);
    expect([status, body['ok'], body['details'].degraded]).toEqual([200, true, true]);
    expect((await call(service, 'GET', `/keys/${encodeURIComponent(hybrid)}`)).status).toBe(200);
    expect(await degraded()).toContain('policy.url gives no answer');
    expect((await fetch(`${service.metricsUrl}/readyz`)).status).toBe(200);
    expect(await rejected('policy_unavailable')).toBeGreaterThan(0);
    await eventually('the log says so', 5000, async () => service.log().includes('"policy_unreachable"'));

    await policy.comeBack();
    await eventually('it signs again', 20_000, async () => (await sign(hybrid)).status === 200);
    expect(await degraded()).not.toContain('policy.url');
    expect((await verify(hybrid)).body['details'].degraded).toBeUndefined();
    await eventually('the log says so', 5000, async () => service.log().includes('"policy_reached_again"'));
  });

  test('a policy service that is silent is not waited for by one call after the other', async () => {
    policy.answer(() => NOTHING);
    await Promise.all(Array.from({ length: 8 }, (_, i) => sign(hybrid, { payload_b3: String(i).repeat(64) })));
    policy.asked.length = 0;
    const codes = await Promise.all(Array.from({ length: 200 }, () => codeOf(sign(hybrid))));
    expect(new Set(codes)).toEqual(new Set(['PolicyUnavailable']));
    // One of them tries whether it is there again, if the wait was over.
    expect(policy.asked.length).toBeLessThanOrEqual(1);
  });
});

async function keeping(ttl: string): Promise<TestService> {
  const kept = await startService({ flags: ['--policy-mode', 'http', '--policy-url', policy.url, '--policy-cache-ttl', ttl, '--policy-deadline', DEADLINE] });
  onTestFinished(async () => { await kept.stop(); });
  return kept;
}

describe('an answer that is kept', () => {
  test('is good for the same question only', async () => {
    const kept = await keeping('1h');
    const [one, other] = [await createKey(kept, { labels: { a: '1' } }), await createKey(kept, { labels: { a: '2' } })];
    policy.asked.length = 0;
    const signIt = (kid: string, token?: string) => call(kept, 'POST', '/sign', { kid, payload_b3: DIGEST }, token);
    for (let i = 0; i < 5; i++) await signIt(one['kid']);
    expect(policy.asked.length).toBe(1);
    policy.answer(() => ({ result: { allow: false } }));
    expect(await codeOf(signIt(one['kid']))).toBe('ok');
    expect(await codeOf(signIt(other['kid']))).toBe('PolicyDenied');
    expect(await codeOf(signIt(one['kid'], tokenOf({ clientId: 'mallory' })))).toBe('PolicyDenied');
    await call(kept, 'PATCH', `/keys/${encodeURIComponent(one['kid'])}`, {});
    expect(await codeOf(call(kept, 'POST', `/keys/${encodeURIComponent(one['kid'])}/rotate`, {}))).toBe('PolicyDenied');
  });

  test('is asked for once by those who come at once', async () => {
    const kept = await keeping('1h');
    const { kid } = await createKey(kept);
    policy.asked.length = 0;
    await Promise.all(Array.from({ length: 64 }, () => call(kept, 'POST', '/sign', { kid, payload_b3: DIGEST })));
    expect(policy.asked.length).toBe(1);
  });

  test('ends, also when nobody can be asked any more: no old yes outlives its time', async () => {
    const kept = await keeping('1s');
    const { kid } = await createKey(kept);
    const signIt = () => codeOf(call(kept, 'POST', '/sign', { kid, payload_b3: DIGEST }));
    expect(await signIt()).toBe('ok');
    await policy.crash();
    onTestFinished(() => policy.comeBack());
    await eventually('the answer is too old', 10_000, async () => (await signIt()) === 'PolicyUnavailable');
    expect(await signIt()).toBe('PolicyUnavailable');
  });
});
