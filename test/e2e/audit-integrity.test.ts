import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Wired } from '../harness/wired.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { entriesOf } from '../harness/entries.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

const DIGEST = 'ab'.repeat(32);
const ADMIN = tokenOf({ caveats: everything('*') });

describe.each([['store', 'StoreUnavailable'], ['anchor', 'AuditUnavailable'], ['log', 'AuditUnavailable']] as const)('with the %s at odds', (part, code) => {
  let wired: Wired;
  let kid: string;
  let wrapping: string;
  let wrapped: string;
  let signed: Record<string, any>;
  beforeAll(async () => {
    wired = await startWired();
    kid = (await createKey(wired))['kid'] as string;
    wrapping = (await createKey(wired, { alg: 'aes-256-gcm' }))['kid'] as string;
    wrapped = (await call(wired, 'POST', '/wrap', { kid: wrapping, size: 32 })).body['wrapped_b64'];
    signed = (await call(wired, 'POST', '/sign', { kid, payload_b3: DIGEST })).body;
    expect((await call(wired, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: signed['sigs'] })).body['details']).not.toHaveProperty('degraded');
    await wired.audit.checkpointNow();
    wired.integrity.fail(part, 'something is not what it was');
  });
  afterAll(() => wired.stop());

  test(`what makes or changes anything is 503 ${code}`, async () => {
    const before = (await call(wired, 'GET', '/keys')).body;
    const path = `/keys/${encodeURIComponent(kid)}`;
    const calls: readonly (readonly [string, string, object])[] = [
      ['POST', '/sign', { kid, payload_b3: DIGEST }], ['POST', '/wrap', { kid: wrapping, size: 32 }], ['POST', '/unwrap', { wrapped_b64: wrapped }], ['POST', '/rewrap', { wrapped_b64: wrapped }],
      ['POST', '/keys', { tenant: 'core', purpose: 'a' }], ['PATCH', path, { labels: {} }], ['POST', `${path}/rotate`, {}], ['POST', `${path}/disable`, {}], ['POST', `${path}/destroy`, {}],
      ['POST', '/admin/accept-clock', {}], ['POST', '/admin/log-keys', {}],
    ];
    for (const [method, to, body] of calls) {
      const { status, headers, body: answer } = await call(wired, method, to, body, ADMIN);
      expect([to, status, answer['error']?.code, headers.get('retry-after')]).toEqual([to, 503, code, '1']);
    }
    expect((await call(wired, 'POST', '/sign/batch', { items: [{ kid, payload_b3: DIGEST }] })).body['items'][0].error.code).toBe(code);
    expect((await call(wired, 'GET', '/keys')).body).toEqual(before);
  });

  test('verify answers, and says that it is degraded', async () => {
    const { status, body } = await call(wired, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: signed['sigs'] });
    expect([status, body['ok'], body['details'].degraded]).toEqual([200, true, true]);
    const wrong = await call(wired, 'POST', '/verify/batch', { items: [{ kid, payload_b3: 'cd'.repeat(32), sigs: signed['sigs'] }] });
    expect(wrong.body['items'][0]).toMatchObject({ ok: false, details: { degraded: true } });
  });

  test('reads go on', async () => {
    for (const path of [`/keys/${encodeURIComponent(kid)}`, '/keys', '/token', '/audit/records', '/audit/keys']) expect((await call(wired, 'GET', path, undefined, ADMIN)).status).toBe(200);
    expect((await fetch(`${wired.apiUrl}/v1/kms/audit/receipts/${signed['audit'].index}`, { headers: { authorization: `Bearer ${ADMIN}` } })).status).toBe(200);
  });

  test(part === 'store' ? 'the log itself goes on: verify and refusals are entered' : 'nothing more is entered', async () => {
    await wired.operations.close();
    const entries = await entriesOf(wired, async () => {
      await call(wired, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: signed['sigs'] });
      await call(wired, 'POST', '/sign', { kid, payload_b3: DIGEST, op_id: 'refused' });
    });
    expect(entries.map(({ op, result }) => [op, result])).toEqual(part === 'store' ? [['verify', 'ok'], ['sign', code]] : []);
  });

  test('it is counted, as an alarm, once', async () => {
    wired.integrity.fail(part, 'and once more');
    expect(await wired.metrics()).toMatch(/^kms_audit_integrity_failed_total 1$/m);
    expect(wired.log().match(/"event":"audit_integrity_failed"/g)).toHaveLength(1);
  });
});

describe('an anchor that somebody put back while the service runs', () => {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-integrity-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  test('is found with the next mutation; from then on the service is not ready, and says why', async () => {
    const [audit, keyfile, medium] = ['audit', 'root.key', 'medium'].map((name) => join(root, name)) as [string, string, string];
    mkdirSync(medium);
    const init = await ronKms(['init', '--seal', 'keyfile', '--audit-dir', audit, '--sealed-dir', `${audit}-keys`, '--keyfile-path', keyfile, '--config', join(root, 'kms.toml')]);
    expect(init).toMatchObject({ code: 0 });
    const service = await startService({ flags: [
      '--service-amnesia', 'false', '--audit-dir', audit, '--backends-file-seal', 'keyfile', '--backends-file-keyfile-path', keyfile,
      '--audit-anchor', 'file', '--audit-anchor-path', join(medium, 'anchor'),
    ] });
    const { kid } = (await createKey(service, { alg: 'ed25519' })) as { kid: string };
    const { sigs } = (await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body;
    const ready = async () => (await (await fetch(`${service.metricsUrl}/readyz`)).json()) as { ready: boolean; conditions: Record<string, boolean>; missing: string[] };
    expect(await ready()).toMatchObject({ ready: true });
    writeFileSync(join(medium, 'anchor'), '{}\n');
    expect((await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'a' })).body['error']?.code).toBe('AuditUnavailable');
    expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body['error']?.code).toBe('AuditUnavailable');
    expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs })).body).toMatchObject({ ok: true, details: { degraded: true } });
    expect(await ready()).toMatchObject({ ready: false, conditions: { audit_ready: false, backend_ready: true }, missing: expect.arrayContaining([expect.stringMatching(/^audit_ready: the anchor file .* is damaged/)]) });
    expect(await (await fetch(`${service.metricsUrl}/metrics`)).text()).toMatch(/^kms_audit_integrity_failed_total 1$/m);
    expect(await service.stop()).toBe(0);
  });
});
