import type { FileInstance } from '../harness/file-service.ts';
import type { Serving, TestService } from '../harness/service.ts';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkReceipt } from '../../client/src/log/receipt.ts';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { makeIssuer } from '../harness/certificates.ts';
import { endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { flipBitInJournal } from '../harness/harm.ts';
import { eventually } from '../harness/poll.ts';
import { logUntilNow } from '../harness/log.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';
import { openWire, statusesIn } from '../harness/wire.ts';

/** The rows of the STRIDE table in docs/threat-model.md, each shown once, from outside, on a real process. */
const DIGEST = '12'.repeat(32);

let service: TestService;
let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-threats-'));
  service = await startService();
});
afterAll(async () => {
  await service.stop();
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

const sign = (kid: string, more: object = {}, token?: string) => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST, ...more }, token);
const outcome = async (answer: ReturnType<typeof call>): Promise<string> => {
  const { status, body } = await answer;
  return `${status} ${body['error']?.code ?? 'ok'}`;
};

describe('spoofing', () => {
  test('a fake client or a forged capability gets nothing', async () => {
    const { kid } = await createKey(service);
    expect(await outcome(sign(kid, {}, tokenOf({ secret: Buffer.alloc(32, 8) })))).toBe('401 NoCapability');
    expect(await outcome(sign(kid, {}, tokenOf({ rootKeyId: 'nobody' })))).toBe('401 NoCapability');
    expect(await outcome(sign(kid, {}, tokenOf({ caveats: everything('other') })))).toBe('403 NoCapability');
    const response = await fetch(`${service.apiUrl}/v1/kms/sign`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ kid, payload_b3: DIGEST }) });
    expect(response.status).toBe(401);
  });

  test('somebody in the middle meets TLS 1.3 alone, and a client is who its certificate says', async () => {
    const [ca, clients] = [await makeIssuer(root, 'mesh'), await makeIssuer(root, 'clients')];
    const [own, client] = [await ca.issue('kms'), await clients.issue('signer')];
    const sealed = await startService({ flags: ['--tls-cert-path', own.certPath, '--tls-key-path', own.keyPath, '--tls-client-ca-path', clients.caPath] });
    onTestFinished(async () => { await sealed.stop(); });
    const port = Number(new URL(sealed.apiUrl).port);
    const old = await new Promise<string>((resolve) => {
      connect({ host: '127.0.0.1', port, rejectUnauthorized: false, maxVersion: 'TLSv1.2' }).on('secureConnect', () => resolve('connected')).on('error', ({ message }) => resolve(message));
    });
    expect(old).toMatch(/protocol version/);
    const ask = (tls: object): Promise<number> => new Promise((resolve, reject) => {
      const token = tokenOf({ caveats: [...everything('core'), `mtls = sha256:${new X509Certificate(client.certPem).fingerprint256.replaceAll(':', '').toLowerCase()}`] });
      request({ host: '127.0.0.1', port, path: '/v1/kms/keys', ca: ca.caPem, headers: { authorization: `Bearer ${token}` }, ...tls }, (response) => { response.resume().on('end', () => resolve(response.statusCode ?? 0)); }).on('error', reject).end();
    });
    expect([await ask({ cert: client.certPem, key: client.keyPem }), await ask({})]).toEqual([200, 403]);
  });

  test('a correlation id goes with the request, into the answer and the log', async () => {
    const corrId = '01890000-aaaa-7000-8000-00000000abcd';
    const { kid } = await createKey(service);
    const response = await fetch(`${service.apiUrl}/v1/kms/sign`, { method: 'POST', headers: { 'authorization': `Bearer ${tokenOf()}`, 'content-type': 'application/json', 'x-corr-id': corrId }, body: JSON.stringify({ kid, payload_b3: DIGEST }) });
    expect(response.headers.get('x-corr-id')).toBe(corrId);
    const { body } = await call(service, 'GET', `/audit/records?kid=${encodeURIComponent(kid)}&op=sign`, undefined, OPERATOR);
    expect(body['records'][0].entry).toMatchObject({ corr_id: corrId, actor: { client_id: 'tester' } });
  });
});

describe('tampering', () => {
  test('a mutated request is another one, and a field that is not known is refused', async () => {
    const { kid } = await createKey(service);
    const { sigs } = (await sign(kid)).body;
    const verify = (digest: string) => call(service, 'POST', '/verify', { kid, payload_b3: digest, sigs });
    expect([(await verify(DIGEST)).body['ok'], (await verify('13'.repeat(32))).body['ok']]).toEqual([true, false]);
    expect(await outcome(sign(kid, { admin: true }))).toBe('400 BadRequest');
  });

  test('an audit log that was edited is found, by anyone and by the service', { timeout: 60_000 }, async () => {
    const { instance, service: durable } = await startDurable('edited');
    const { kid } = await createKey(durable, {}, OPERATOR);
    for (let i = 0; i < 20; i++) await call(durable, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
    await durable.end('SIGKILL');
    const verify = () => ronKms(['audit', 'verify', instance.auditDir, ...instance.vkeys.flatMap((key) => ['--vkey', formatVkey(key)])], { cwd: root });
    expect((await verify()).code).toBe(0);
    flipBitInJournal(instance.auditDir);
    expect((await verify()).code).toBe(3);
    const next = await instance.start().catch(String);
    if (typeof next === 'string') return;
    await eventually('it is not ready', 10_000, async () => !(await readinessOf(next)).conditions['audit_ready']);
    expect(await outcome(call(next, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR))).toBe('503 AuditUnavailable');
  });
});

describe('repudiation', () => {
  test('who did what stands in a record, and its receipt is checked without the service', { timeout: 60_000 }, async () => {
    const { instance, service: durable } = await startDurable('receipts');
    const { kid } = await createKey(durable, {}, OPERATOR);
    const { audit } = (await call(durable, 'POST', '/sign', { kid, payload_b3: DIGEST, op_id: 'release-7' }, OPERATOR)).body;
    const { entry } = (await call(durable, 'GET', `/audit/records?from=${audit.index}&limit=1`, undefined, OPERATOR)).body['records'][0];
    expect(entry).toMatchObject({ op: 'sign', op_id: 'release-7', tenant: 'core', kid, alg: 'ed25519+ml-dsa', purpose: 'audit', input_hash: DIGEST, result: 'ok', actor: { client_id: 'tester', root_key_id: 'test', via: 'tcp' } });
    expect(Object.keys(entry)).toEqual(expect.arrayContaining(['ts', 'mono_ns', 'key_seq', 'salt', 'boot_id']));
    const receipt = await (await fetch(`${durable.apiUrl}/v1/kms/audit/receipts/${audit.index}`, { headers: { authorization: `Bearer ${OPERATOR}` } })).text();
    await durable.end('SIGTERM');
    expect(checkReceipt(receipt, instance.vkeys)).toMatchObject({ ok: true, index: audit.index, fields: { op_id: 'release-7', input_hash: DIGEST } });
  });
});

describe('information disclosure', () => {
  test('a private key does not leave, whatever the token', async () => {
    const { kid } = await createKey(service);
    for (const way of ['private', 'export']) expect(await outcome(call(service, 'GET', `/keys/${encodeURIComponent(kid)}/${way}`, undefined, OPERATOR))).toBe('403 ExportForbidden');
  });

  test('no payload, no token and no policy hint stands in the log lines or in an answer', async () => {
    const secret = 'c2VjcmV0LXBheWxvYWQtNDI=';
    const { body: key } = await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit', input: 'raw', policy_hints: { secret } });
    expect((await call(service, 'POST', '/sign', { kid: key['kid'], payload_b64: secret })).status).toBe(200);
    const lines = await logUntilNow(service);
    expect(lines).toContain('"event":"sign"');
    for (const hidden of [secret, Buffer.from(secret, 'base64').toString(), tokenOf(), key['kid'] as string]) expect(lines).not.toContain(hidden);
    expect(JSON.stringify((await call(service, 'GET', `/keys/${encodeURIComponent(key['kid'])}`)).body)).not.toContain(secret);
  });
});

describe('denial of service', () => {
  test('a flood, slow senders and large bodies are refused early, and the service goes on', { timeout: 30_000 }, async () => {
    const narrow = await startService({ flags: ['--security-sign-rate-limit-rps', '5', '--read-timeout', '1s'] });
    onTestFinished(async () => { await narrow.stop(); });
    const { kid } = await createKey(narrow);
    const flood = await Promise.all(Array.from({ length: 40 }, () => outcome(call(narrow, 'POST', '/sign', { kid, payload_b3: DIGEST }))));
    expect(new Set(flood)).toEqual(new Set(['200 ok', '429 Backpressure']));
    const slow = await openWire({ url: narrow.apiUrl });
    slow.send('POST /v1/kms/sign HTTP/1.1\r\nhost: a\r\n');
    await slow.closed(10_000);
    expect(statusesIn(slow.text())).toEqual([408]);
    expect(await outcome(call(narrow, 'POST', '/sign', { kid, payload_b64: 'A'.repeat(1_100_000) }))).toBe('413 TooLarge');
    expect((await fetch(`${narrow.metricsUrl}/readyz`)).status).toBe(200);
  });

  test('one tenant\'s flood does not use up another one\'s share', async () => {
    const shared = await startService({ flags: ['--security-sign-rate-limit-rps', '40'] });
    onTestFinished(async () => { await shared.stop(); });
    const [greedy, modest] = [(await createKey(shared))['kid'], (await createKey(shared, { tenant: 'modest' }, OPERATOR))['kid']];
    const ask = (kid: string, tenant: string) => outcome(call(shared, 'POST', '/sign', { kid, payload_b3: DIGEST }, tokenOf({ caveats: everything(tenant) })));
    await ask(modest, 'modest');
    await eventually('the greedy one is refused', 10_000, async () => (await Promise.all(Array.from({ length: 60 }, () => ask(greedy, 'core')))).includes('429 Backpressure'));
    await eventually('the other one is served beside it', 10_000, async () => {
      const [, ...answers] = await Promise.all([...Array.from({ length: 30 }, () => ask(greedy, 'core')), ask(modest, 'modest')]);
      return answers.at(-1) === '200 ok';
    });
  });
});

describe('elevation of privilege', () => {
  test('who may sign may not rotate, destroy or administer, and a narrowed token never widens', async () => {
    const { kid } = await createKey(service);
    const signer = tokenOf({ caveats: ['scope = kms:sign', ...everything('core').slice(1)] });
    const at = `/keys/${encodeURIComponent(kid)}`;
    expect(await outcome(sign(kid, {}, signer))).toBe('200 ok');
    for (const [method, path] of [['POST', `${at}/rotate`], ['POST', `${at}/destroy`], ['PATCH', at], ['POST', '/admin/reload'], ['POST', '/admin/rekey']] as const) {
      expect(await outcome(call(service, method, path, method === 'PATCH' ? { labels: {} } : {}, signer))).toBe('403 NoCapability');
    }
    const narrowed = tokenOf({ caveats: [...everything('core'), 'purpose = other', 'purpose = audit'] });
    expect(await outcome(sign(kid, {}, narrowed))).toBe('403 NoCapability');
  });

  test('a mutation is bound to its client and its op_id, and stands in the log with who did it', async () => {
    const body = { tenant: 'core', purpose: 'audit', op_id: 'mine' };
    const [first, again] = [await call(service, 'POST', '/keys', body), await call(service, 'POST', '/keys', body)];
    const other = await call(service, 'POST', '/keys', body, tokenOf({ clientId: 'mallory' }));
    expect(again.body['kid']).toBe(first.body['kid']);
    expect(other.body['kid']).not.toBe(first.body['kid']);
    expect(await outcome(call(service, 'POST', '/keys', { ...body, purpose: 'another' }))).toBe('409 Conflict');
  });
});

async function startDurable(name: string): Promise<{ readonly instance: FileInstance; readonly service: Serving }> {
  const directory = mkdtempSync(join(root, `${name}-`));
  const instance = await initInstance(directory);
  const durable = await instance.start();
  await untilReady(durable);
  return { instance, service: durable };
}
