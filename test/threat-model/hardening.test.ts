import type { Serving, TestService } from '../harness/service.ts';
import { gzipSync } from 'node:zlib';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ronKms } from '../cli/ron-kms.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { logUntilNow } from '../harness/log.ts';
import { call, createKey, startService, tokenOf } from '../harness/service.ts';
import { openWire, statusesIn } from '../harness/wire.ts';

/** The hardening list in docs/threat-model.md, each line shown once, from outside, on a real process. */
let service: TestService;
let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-hardening-'));
  service = await startService({ flags: ['--read-timeout', '1s'] });
});
afterAll(async () => {
  await service.stop();
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

const outcome = async (answer: ReturnType<typeof call>): Promise<string> => {
  const { status, body } = await answer;
  return `${status} ${body['error']?.code ?? 'ok'}`;
};

/** What a setting is when nobody sets it. */
async function defaults(): Promise<Readonly<Record<string, unknown>>> {
  const { out } = await ronKms(['config', 'print', '--json'], { cwd: root });
  const { settings } = JSON.parse(out) as { settings: Record<string, { value: unknown }> };
  return Object.fromEntries(Object.entries(settings).map(([name, { value }]) => [name, value]));
}

describe('hardening', () => {
  test('timeouts: read 5 s, write 5 s, idle 60 s, and they end what is slow', async () => {
    expect(await defaults()).toMatchObject({ read_timeout: '5s', write_timeout: '5s', idle_timeout: '1m' });
    const wire = await openWire({ url: service.apiUrl });
    wire.send('POST /v1/kms/sign HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{');
    await wire.closed(10_000);
    expect(statusesIn(wire.text())).toEqual([401]);
  });

  test('concurrency cap: 512 signatures and 1,024 verifications in flight, and what is beyond is 429', async () => {
    expect(await defaults()).toMatchObject({ 'security.max_inflight_sign': 512, 'security.max_inflight_verify': 1024, 'max_conns': 1024, 'max_conns_per_peer': 512 });
    const narrow = await startService({ flags: ['--security-max-inflight-sign', '2'] });
    onTestFinished(async () => { await narrow.stop(); });
    const { kid } = await createKey(narrow);
    expect(new Set(await Promise.all(Array.from({ length: 40 }, () => outcome(call(narrow, 'POST', '/sign', { kid, payload_b3: DIGEST })))))).toEqual(new Set(['200 ok', '429 Backpressure']));
  });

  test('rate cap: 500 signatures a second, refused before any key is touched', async () => {
    expect(await defaults()).toMatchObject({ 'security.sign_rate_limit_rps': 500 });
    const narrow = await startService({ flags: ['--security-sign-rate-limit-rps', '1'] });
    onTestFinished(async () => { await narrow.stop(); });
    const { kid } = await createKey(narrow);
    await call(narrow, 'POST', '/sign', { kid, payload_b3: DIGEST });
    const { status, headers } = await call(narrow, 'POST', '/sign', { kid, payload_b3: DIGEST });
    expect([status, headers.get('retry-after')]).toEqual([429, '1']);
  });

  test('body cap: 1 MiB, ten times its size at most when it was compressed, no unknown field', async () => {
    expect(await defaults()).toMatchObject({ 'limits.max_body_bytes': '1MiB', 'limits.decompress_ratio_cap': 10 });
    expect(await outcome(call(service, 'POST', '/sign', { kid: 'x'.repeat(1_100_000) }))).toBe('413 TooLarge');
    const bomb = gzipSync(Buffer.from(`{"kid":"${' '.repeat(500_000)}"}`));
    const response = await fetch(`${service.apiUrl}/v1/kms/sign`, { method: 'POST', headers: { 'authorization': `Bearer ${tokenOf()}`, 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: bomb });
    expect(response.status).toBe(413);
    expect(await outcome(call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit', surprise: 1 }))).toBe('400 BadRequest');
  });

  test('AEAD nonces: no value twice for a version, whoever chose it', async () => {
    const { kid } = await createKey(service, { alg: 'aes-256-gcm' });
    const wrap = (more: object) => call(service, 'POST', '/wrap', { kid, size: 32, ...more });
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(1000, 8);
    expect(await outcome(wrap({ nonce_b64: nonce.toString('base64') }))).toBe('200 ok');
    expect(await outcome(wrap({ nonce_b64: nonce.toString('base64') }))).toBe('409 NonceReuse');
    expect(await outcome(wrap({}))).toBe('200 ok');
    nonce.writeUInt32BE(1001, 8);
    expect(await outcome(wrap({ nonce_b64: nonce.toString('base64') }))).toBe('409 NonceReuse');
  });

  test('no blocking: health is answered while hundreds of hybrid signatures are made', async () => {
    const { kid } = await createKey(service);
    let done = 0;
    const signing = Array.from({ length: 256 }, () => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }).then(() => { done++; }));
    expect((await fetch(`${service.metricsUrl}/healthz`)).status).toBe(200);
    expect(done).toBeLessThan(256);
    await Promise.all(signing);
  });

  test('Unix socket: its directory 0700, itself 0600, and a token all the same', async () => {
    const path = join(root, 'uds', 'kms.sock');
    const local = await startService({ flags: ['--uds-path', path] });
    onTestFinished(async () => { await local.stop(); });
    expect([statSync(join(root, 'uds')).mode & 0o777, statSync(path).mode & 0o777]).toEqual([0o700, 0o600]);
    const wire = await openWire({ socketPath: path });
    wire.send('GET /v1/kms/token HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    await wire.closed(10_000);
    expect(statusesIn(wire.text())).toEqual([401]);
  });

  test('chaos: killed under load it comes back with everything that it answered, and what it signed still verifies', { timeout: 60_000 }, async () => {
    const instance = await initInstance(root);
    const killed: Serving = await instance.start();
    await untilReady(killed);
    const { kid } = await createKey(killed, {}, OPERATOR);
    const answered: { readonly index: number; readonly sigs: unknown }[] = [];
    const load = Array.from({ length: 16 }, async () => {
      for (;;) {
        const answer = await call(killed, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR).catch(() => undefined);
        if (answer === undefined) return;
        answered.push({ index: answer.body['audit'].index, sigs: answer.body['sigs'] });
        if (answered.length === 200) process.kill(killed.pid, 'SIGKILL');
      }
    });
    await Promise.all(load);
    const next = await instance.start();
    await untilReady(next);
    const { body } = await call(next, 'GET', `/audit/records?op=sign&result=ok&limit=1000&kid=${encodeURIComponent(kid)}`, undefined, OPERATOR);
    const logged = new Set(body['records'].map(({ index }: { index: number }) => index));
    expect(answered.filter(({ index }) => !logged.has(index))).toEqual([]);
    expect((await call(next, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: answered.at(-1)?.sigs }, OPERATOR)).body['ok']).toBe(true);
  });

  test('logs: JSON lines, with a hash where a kid would stand', async () => {
    const { kid } = await createKey(service);
    await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
    const lines = (await logUntilNow(service)).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    const signed = lines.findLast(({ event }) => event === 'sign');
    expect(Object.keys(signed ?? {})).toEqual(expect.arrayContaining(['ts', 'level', 'service', 'event', 'corr_id', 'request_id', 'op_id', 'tenant', 'kid_hash', 'kid_version', 'alg', 'result', 'latency_ms', 'peer', 'attestation_class']));
    expect(JSON.stringify(lines)).not.toContain(kid);
  });

  test('clocks: entries are in the order of a clock that only goes forward, and stamped in UTC', async () => {
    const { kid } = await createKey(service);
    for (let i = 0; i < 5; i++) await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
    const { body } = await call(service, 'GET', `/audit/records?kid=${encodeURIComponent(kid)}`, undefined, OPERATOR);
    const entries = body['records'].map(({ entry }: { entry: { mono_ns: string; ts: string } }) => entry);
    const monotonic = entries.map(({ mono_ns }: { mono_ns: string }) => BigInt(mono_ns));
    expect(monotonic).toEqual(monotonic.toSorted((a: bigint, b: bigint) => (a < b ? -1 : 1)));
    for (const { ts } of entries) expect(ts).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });
});
