import type { FileInstance } from '../harness/file-service.ts';
import type { Answer, Serving } from '../harness/service.ts';
import type { SoftToken } from '../harness/softhsm.ts';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DIGEST, endInstances, initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';

if (SOFTHSM_MODULE === undefined) console.warn(SOFTHSM_MISSING);

const STANDBY = 'kms-2';
const sign = (service: Serving, kid: string): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${(body['error'] as { code: string }).code}`);

describe.skipIf(SOFTHSM_MODULE === undefined)('service.allow_sign_fallback', { timeout: 60_000 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-standby-'));
  let soft: SoftToken;
  let instance: FileInstance;
  let environment: Record<string, string>;
  beforeAll(async () => {
    soft = makeSoftToken();
    environment = { ...soft.env, KMS_PIN: PIN };
    instance = await initInstance(root, { init: ['--backend', 'pkcs11', '--anchor', 'none', '--module-path', soft.modulePath, '--slot-label', LABEL, '--pin-env', 'KMS_PIN'], environment });
  });
  afterEach(endInstances);
  afterAll(() => {
    soft.drop();
    rmSync(root, { recursive: true, force: true });
  });

  test('a clone signs and opens while the first token is out; a key that is not the same one signs nothing; the first takes over again', async () => {
    let service = await instance.start();
    await untilReady(service);
    const kids: Record<string, string> = {};
    for (const [name, alg] of [['hybrid', 'ed25519+ml-dsa'], ['forged', 'ed25519+ml-dsa'], ['kem', 'x25519+ml-kem'], ['aes', 'aes-256-gcm']] as const) kids[name] = (await createKey(service, { alg, purpose: 'wrap' }, OPERATOR))['kid'];
    const wrapped = await Promise.all(['kem', 'aes'].map(async (name) => (await call(service, 'POST', '/wrap', { kid: kids[name], size: 32 }, OPERATOR)).body));
    await service.end('SIGTERM');
    soft.cloneAs(STANDBY);
    // On the clone, another key in the place of one.
    const tool = (...args: readonly string[]): string => execFileSync('pkcs11-tool', ['--module', soft.modulePath, '--token-label', STANDBY, '--login', '--pin', PIN, ...args], { env: { ...process.env, ...soft.env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    tool('--delete-object', '--type', 'privkey', '--label', kids['forged'] ?? '');
    tool('--keypairgen', '--key-type', 'EC:edwards25519', '--label', kids['forged'] ?? '', '--usage-sign', '--sensitive');

    service = await instance.start({ flags: ['--service-allow-sign-fallback', 'true', '--backends-pkcs11-standby-slot-label', STANDBY] });
    await untilReady(service);
    const { body: { sigs } } = await sign(service, kids['hybrid'] ?? '');
    soft.removeOne(LABEL);
    await eventually('the standby signs', 20_000, async () => (await fetch(`${service.metricsUrl}/healthz`).then((answer) => answer.text())).includes(`${STANDBY} signs and opens in its place`));
    const signed = await sign(service, kids['hybrid'] ?? '');
    expect(codeOf(signed)).toBe('ok');
    expect((signed.body['sigs'] as { signature_b64: string }[])[0]).toEqual((sigs as { signature_b64: string }[])[0]);
    expect((await call(service, 'POST', '/verify', { kid: kids['hybrid'], payload_b3: DIGEST, sigs: signed.body['sigs'] }, OPERATOR)).body['ok']).toBe(true);
    for (const { wrapped_b64, plaintext_key_b64 } of wrapped) expect((await call(service, 'POST', '/unwrap', { wrapped_b64 }, OPERATOR)).body['plaintext_key_b64']).toBe(plaintext_key_b64);
    const forged = await sign(service, kids['forged'] ?? '');
    expect([codeOf(forged), (forged.body['error'] as { hint: string }).hint]).toEqual(['503 StoreUnavailable', 'the first token is out, and the standby does not hold the same key in the same class']);
    expect(codeOf(await call(service, 'POST', '/wrap', { kid: kids['aes'], size: 32 }, OPERATOR))).toBe('503 StoreUnavailable');
    expect(codeOf(await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }, OPERATOR))).toBe('503 StoreUnavailable');
    // None of which has made the standby's work stop.
    expect(codeOf(await sign(service, kids['hybrid'] ?? ''))).toBe('ok');
    soft.putBackOne(LABEL);
    await eventually('the first is back', 30_000, async () => codeOf(await sign(service, kids['forged'] ?? '')) === 'ok');
    await eventually('nobody stands in', 20_000, async () => !(await fetch(`${service.metricsUrl}/healthz`).then((answer) => answer.text())).includes('in its place'));
  });

  test('without it nobody signs in the first one\'s place', async () => {
    const service = await instance.start();
    await untilReady(service);
    const { kid } = await createKey(service, {}, OPERATOR);
    soft.removeOne(LABEL);
    await eventually('it is out', 20_000, async () => codeOf(await sign(service, kid)) === '503 StoreUnavailable');
    soft.putBackOne(LABEL);
  });

  test('a standby that is out at the start does not keep the first from working', async () => {
    soft.removeOne(STANDBY);
    const service = await instance.start({ flags: ['--service-allow-sign-fallback', 'true', '--backends-pkcs11-standby-slot-label', STANDBY] });
    await untilReady(service);
    expect(codeOf(await sign(service, (await createKey(service, {}, OPERATOR))['kid']))).toBe('ok');
    soft.putBackOne(STANDBY);
  });
});
