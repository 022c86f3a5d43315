import type { FileInstance } from '../harness/file-service.ts';
import type { Answer, Serving } from '../harness/service.ts';
import type { SoftToken } from '../harness/softhsm.ts';
import { ed25519 } from '@noble/curves/ed25519.js';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';

if (SOFTHSM_MODULE === undefined) console.warn(SOFTHSM_MISSING);

const sign = (service: Serving, kid: string): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
const moduleOf = (service: Serving): number => Number(execFileSync('pgrep', ['-n', '-P', String(service.pid)], { encoding: 'utf8' }));
const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${(body['error'] as { code: string }).code}`);

/** Four callers that sign until they are told to stop. */
function load(service: Serving, kid: string) {
  const outcomes: string[] = [];
  const over = new AbortController();
  const lines = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) outcomes.push(codeOf(await sign(service, kid)));
  });
  return { outcomes, stop: () => { over.abort(); return Promise.all(lines); } };
}

describe.skipIf(SOFTHSM_MODULE === undefined)('service.backend = "pkcs11"', { timeout: 60_000 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-pkcs11-'));
  let token: SoftToken;
  let instance: FileInstance;
  let env: Readonly<Record<string, string>>;
  beforeAll(async () => {
    token = makeSoftToken();
    env = { ...token.env, KMS_PIN: PIN };
    instance = await initInstance(root, { always: ['--service-backend', 'pkcs11', '--backends-pkcs11-module-path', token.modulePath, '--backends-pkcs11-slot-label', LABEL, '--backends-pkcs11-pin-env', 'KMS_PIN', '--pq-verify-mode', 'or'] });
  });
  afterEach(endInstances);
  afterAll(() => {
    token.drop();
    rmSync(root, { recursive: true, force: true });
  });

  const start = async (): Promise<Serving> => {
    const service = await instance.start({ env });
    await untilReady(service);
    return service;
  };
  test('signs, wraps and destroys with keys that are there at the next start, and independent libraries take what it signed', async () => {
    let service = await start();
    const hybrid = await createKey(service, {}, OPERATOR);
    const classes = Object.fromEntries(await Promise.all(['ed25519', 'ed25519+ml-dsa', 'x25519', 'aes-256-gcm', 'x25519+ml-kem'].map(async (alg) => [alg, (await createKey(service, { alg, purpose: 'wrap' }, OPERATOR))['versions'][0].attestation_class] as const)));
    expect(classes).toEqual({ 'ed25519': 'pkcs11', 'x25519': 'pkcs11', 'aes-256-gcm': 'pkcs11', 'ed25519+ml-dsa': 'pkcs11-wrapped', 'x25519+ml-kem': 'pkcs11-wrapped' });
    const wrapping = await Promise.all(['x25519', 'aes-256-gcm', 'x25519+ml-kem'].map((alg) => createKey(service, { alg, purpose: 'wrap' }, OPERATOR)));
    const wrapped = await Promise.all(wrapping.map(async ({ kid }) => (await call(service, 'POST', '/wrap', { kid, size: 32 }, OPERATOR)).body));
    await service.end('SIGKILL');

    service = await start();
    const { body } = await sign(service, hybrid['kid'] as string);
    const [classical, postQuantum] = (body['sigs'] as { signature_b64: string }[]).map(({ signature_b64: text }) => Buffer.from(text, 'base64'));
    const keys = (hybrid['versions'][0].public as { pubkey_b64: string }[]).map(({ pubkey_b64: text }) => Buffer.from(text, 'base64'));
    expect(ed25519.verify(classical as Buffer, Buffer.from(DIGEST, 'hex'), keys[0] as Buffer, { zip215: false })).toBe(true);
    expect(ml_dsa65.verify(postQuantum as Buffer, Buffer.from(DIGEST, 'hex'), keys[1] as Buffer)).toBe(true);
    for (const { wrapped_b64, plaintext_key_b64 } of wrapped) expect((await call(service, 'POST', '/unwrap', { wrapped_b64 }, OPERATOR)).body['plaintext_key_b64']).toBe(plaintext_key_b64);
    const spoilt = Buffer.from(wrapped[1]?.['wrapped_b64'] as string, 'base64');
    spoilt[spoilt.length - 1] = (spoilt.at(-1) ?? 0) ^ 1;
    expect(codeOf(await call(service, 'POST', '/unwrap', { wrapped_b64: spoilt.toString('base64') }, OPERATOR))).toBe('400 UnwrapFailed');
    expect(codeOf(await sign(service, hybrid['kid'] as string))).toBe('ok');

    expect(await service.end('SIGTERM')).toBe(0);
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], openIntents: 0 });
  });

  test('a module that crashes under load is started again by itself; verify and the log go on meanwhile', async () => {
    const service = await start();
    const { kid } = await createKey(service, {}, OPERATOR);
    const { body: { sigs } } = await sign(service, kid);
    const { outcomes, stop } = load(service, kid);
    await eventually('it signs', 10_000, () => outcomes.length > 50);
    process.kill(moduleOf(service), 'SIGSEGV');
    await eventually('somebody is refused', 10_000, () => outcomes.includes('503 StoreUnavailable'));
    expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR)).body['ok']).toBe(true);
    const before = outcomes.length;
    await eventually('it signs again', 20_000, () => outcomes.slice(before).filter((code) => code === 'ok').length > 50);
    await stop();
    expect(new Set(outcomes)).toEqual(new Set(['ok', '503 StoreUnavailable']));
    expect(await (await fetch(`${service.metricsUrl}/metrics`)).text()).toMatch(/kms_backend_reconnects_total\{backend="pkcs11"\} 1/);
  });

  test('a token that is pulled out under load is out, named by readiness, and back by itself', async () => {
    const service = await start();
    const { kid } = await createKey(service, { alg: 'ed25519' }, OPERATOR);
    const { body: { sigs } } = await sign(service, kid);
    const { outcomes, stop } = load(service, kid);
    await eventually('it signs', 10_000, () => outcomes.length > 50);
    token.remove();
    await eventually('it is out', 20_000, async () => !(await readinessOf(service)).conditions['backend_ready']);
    const { status, body } = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR);
    expect([status, body['ok'], typeof body['cache_age_ms']]).toEqual([200, true, 'number']);
    expect((await readinessOf(service)).missing.join()).toContain('what holds the keys has not answered');
    token.putBack();
    await untilReady(service, 30_000);
    const before = outcomes.length;
    await eventually('it signs again', 10_000, () => outcomes.slice(before).filter((code) => code === 'ok').length > 50);
    await stop();
    expect([...new Set(outcomes)].filter((code) => !['ok', '503 StoreUnavailable', '504 Timeout'].includes(code))).toEqual([]);
  });

  test('a module that hangs is given up: 504 first, then 503 at once, then it signs again', async () => {
    const service = await start();
    const { kid } = await createKey(service, { alg: 'ed25519' }, OPERATOR);
    process.kill(moduleOf(service), 'SIGSTOP');
    const { outcomes, stop } = load(service, kid);
    await eventually('it signs again', 30_000, () => outcomes.filter((code) => code === 'ok').length > 50);
    await stop();
    expect([...new Set(outcomes)].filter((code) => !['ok', '503 StoreUnavailable', '504 Timeout'].includes(code))).toEqual([]);
    expect(outcomes.some((code) => code !== 'ok')).toBe(true);
  });

  test('what is missing or wrong at the start is said, with what to do', async () => {
    expect(await instance.startRefused({ env: token.env })).toMatch(/the variable that backends\.pkcs11\.pin_env names is not set/);
    expect(await instance.startRefused({ env: { ...env, KMS_PIN: 'wrong' } })).toMatch(/the token kms cannot be opened by .*CKR_PIN_INCORRECT/);
    expect(await instance.startRefused({ env, flags: ['--backends-pkcs11-slot-label', 'other'] })).toMatch(/no slot has a token labelled other/);
    expect(await instance.startRefused({ env, flags: ['--backends-pkcs11-module-path', '/nowhere.so'] })).toMatch(/cannot be opened by \/nowhere\.so/);
    // Last: another token of the same label has none of the keys.
    token.replaceByEmpty();
    expect(await instance.startRefused({ env })).toMatch(/it is another token, or it was set up anew/);
  });
});
