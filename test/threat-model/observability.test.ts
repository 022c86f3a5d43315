import type { TestService } from '../harness/service.ts';
import { gzipSync } from 'node:zlib';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/poll.ts';
import { call, createKey, startService, tokenOf } from '../harness/service.ts';

/** What of the service is seen for security's sake, by the rows of docs/threat-model.md. */
const DIGEST = '12'.repeat(32);

let service: TestService;
beforeAll(async () => { service = await startService({ toml: '[pq]\nverify_mode = "and"\n', flags: ['--security-max-inflight-sign', '1'] }); });
afterAll(async () => { await service.stop(); });

const metrics = async (): Promise<string> => (await fetch(`${service.metricsUrl}/metrics`)).text();
const numberAt = async (name: string): Promise<number> => Number((await metrics()).split('\n').find((line) => line.startsWith(`${name} `))?.split(' ')[1] ?? 0);
/** How much a number goes up by what is done. */
async function growth(name: string, work: () => Promise<unknown>): Promise<number> {
  const before = await numberAt(name);
  await work();
  return (await numberAt(name)) - before;
}

describe('observability', () => {
  test('kms_ops_total counts operations by op, algorithm and result', async () => {
    const { kid } = await createKey(service, { alg: 'ml-dsa' });
    expect(await growth('kms_ops_total{op="sign",alg="ml-dsa",result="ok"}', () => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }))).toBe(1);
  });

  test('kms_reject_total counts refusals by their ground', async () => {
    const { kid } = await createKey(service);
    const send = (body: Buffer) => fetch(`${service.apiUrl}/v1/kms/sign`, { method: 'POST', headers: { 'authorization': `Bearer ${tokenOf()}`, 'content-type': 'application/json', 'content-encoding': 'gzip' }, body });
    expect(await growth('kms_reject_total{reason="unauth"}', () => call(service, 'GET', '/token', undefined, 'nonsense'))).toBe(1);
    expect(await growth('kms_reject_total{reason="pq_policy"}', () => call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit', alg: 'ed25519' }))).toBe(1);
    expect(await growth('kms_reject_total{reason="ratio_cap"}', () => send(gzipSync(Buffer.alloc(500_000, 0x20))))).toBe(1);
    expect(await growth('kms_reject_total{reason="backpressure"}', () => Promise.all(Array.from({ length: 20 }, () => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }))))).toBeGreaterThan(0);
    expect(await metrics()).toContain('kms_reject_total{reason="decompress_cap"}');
  });

  test('kms_audit_integrity_failed_total is there, and 0 while all is well', async () => {
    expect(await metrics()).toContain('kms_audit_integrity_failed_total 0');
  });

  test('tls_handshake_failures_total is there', async () => {
    expect(await metrics()).toMatch(/^tls_handshake_failures_total \d+$/m);
  });

  test('auth_failures_total counts capabilities that were not good', async () => {
    expect(await growth('auth_failures_total{service="ron-kms"}', () => call(service, 'GET', '/keys', undefined, tokenOf({ secret: Buffer.alloc(32, 1) })))).toBe(1);
  });

  test('readyz is false after settings that cannot be taken, and healthz says so while it serves on', async () => {
    writeFileSync(join(service.directory, 'kms.toml'), '[pq]\nverify_mode = "sometimes"\n');
    process.kill(service.pid, 'SIGHUP');
    await eventually('it is not ready', 5000, async () => (await fetch(`${service.metricsUrl}/readyz`)).status === 503);
    const health = (await (await fetch(`${service.metricsUrl}/healthz`)).json()) as { status: string; degraded: string[] };
    expect([health.status, health.degraded.some((what) => what.startsWith('config_loaded'))]).toEqual(['alive', true]);
    expect(await metrics()).toContain('kms_ready{condition="config_loaded"} 0');
    writeFileSync(join(service.directory, 'kms.toml'), '[pq]\nverify_mode = "and"\n');
    process.kill(service.pid, 'SIGHUP');
    await eventually('it is ready again', 5000, async () => (await fetch(`${service.metricsUrl}/readyz`)).status === 200);
  });
});
