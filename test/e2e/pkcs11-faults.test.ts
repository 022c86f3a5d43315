import type { FaultyModule } from '../harness/faulty-module.ts';
import type { FileInstance } from '../harness/file-service.ts';
import type { Answer, Serving } from '../harness/service.ts';
import type { SoftToken } from '../harness/softhsm.ts';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkEvidence } from '../../client/src/log/evidence.ts';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { makeFaultyModule } from '../harness/faulty-module.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';

if (SOFTHSM_MODULE === undefined) console.warn(SOFTHSM_MISSING);

const sign = (service: Serving, kid: string, more: object = {}): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST, ...more }, OPERATOR);
/** What the gauge shows. */
const cacheAgeMs = async ({ metricsUrl }: Serving): Promise<number> => Number(/^verify_cache_age_ms (\S+)$/m.exec(await (await fetch(`${metricsUrl}/metrics`)).text())?.[1]);
const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${(body['error'] as { code: string }).code}`);

describe.skipIf(SOFTHSM_MODULE === undefined)('init --backend pkcs11', { timeout: 60_000 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-pkcs11-faults-'));
  let soft: SoftToken;
  let faulty: FaultyModule;
  let instance: FileInstance;
  beforeAll(async () => {
    soft = makeSoftToken();
    faulty = makeFaultyModule(soft.modulePath);
    instance = await initInstance(root, { init: ['--backend', 'pkcs11', '--module-path', faulty.modulePath, '--slot-label', LABEL, '--pin-env', 'KMS_PIN'], environment: { ...soft.env, ...faulty.env, KMS_PIN: PIN } });
  });
  afterEach(async () => {
    faulty.be('well');
    await endInstances();
  });
  afterAll(() => {
    soft.drop();
    faulty.drop();
    rmSync(root, { recursive: true, force: true });
  });

  const start = async (flags: readonly string[] = []): Promise<Serving> => {
    const service = await instance.start({ flags });
    await untilReady(service, 20_000);
    return service;
  };

  test('root key, log key and anchor are in the token too, over a kill; the log checks out with the keys that init printed', async () => {
    let service = await start();
    const { kid } = await createKey(service, {}, OPERATOR);
    await service.end('SIGKILL');
    service = await start();
    expect(codeOf(await sign(service, kid))).toBe('ok');
    const { body } = await call(service, 'GET', '/audit/keys', undefined, OPERATOR);
    const [ed, mlDsa] = body['keys'] as { vkey: string; held_by?: Record<string, string> }[];
    expect(ed?.held_by).toMatchObject({ label: LABEL, manufacturer: 'SoftHSM project', firmware: expect.any(String), slot: expect.stringContaining('SoftHSM slot') });
    expect(mlDsa?.held_by).toBeUndefined();
    expect(await service.end('SIGTERM')).toBe(0);
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  });

  test('evidence is the token\'s word for its objects, signed in it, and checks offline', async () => {
    const service = await start(['--security-attest-require', 'required']);
    const { body: { keys } } = await call(service, 'GET', '/audit/keys', undefined, OPERATOR);
    const key = (keys as { attestation: { key: string } }[]).at(-1)?.attestation.key ?? '';
    const hybrid = await createKey(service, {}, OPERATOR);
    const classical = await createKey(service, { alg: 'ed25519', purpose: 'wrap' }, OPERATOR).catch(() => undefined);
    expect(classical).toBeUndefined();
    const signed = await sign(service, hybrid['kid'] as string);
    const evidence = Buffer.from((signed.body['attestation'] as { evidence: string }).evidence, 'base64');
    const checked = checkEvidence(evidence, { keys: [key], kid: hybrid['kid'] as string, classes: ['pkcs11-wrapped'] });
    expect(checked).toMatchObject({ ok: true, problems: [] });
    expect(checked.statement?.device).toMatchObject({ objects: { 'ron-kms seal': { extractable: false }, [hybrid['kid'] as string]: { extractable: false } } });
    // Whoever changes what the token said of an object has no signature over it.
    const { statement_b64: statement, ...rest } = JSON.parse(evidence.toString()) as { statement_b64: string };
    for (const [from, to] of [['"extractable":false', '"extractable":true'], ['"sensitive":true', '"sensitive":false'], ['pkcs11-wrapped', 'pkcs11']] as const) {
      const forged = Buffer.from(statement, 'base64').toString().replace(from, to);
      expect(checkEvidence(Buffer.from(JSON.stringify({ ...rest, statement_b64: Buffer.from(forged).toString('base64') })), { keys: [key] })).toMatchObject({ ok: false });
    }
    const { body: { records } } = await call(service, 'GET', '/audit/records?op=sign', undefined, OPERATOR);
    expect((records as { entry: { attestation?: object } }[]).map(({ entry }) => entry.attestation)).toContainEqual({ class: 'pkcs11-wrapped', evidence_sha256: createHash('sha256').update(evidence).digest('hex') });
  });

  test('pkcs11-wrapped is refused where only what is inside is good enough', async () => {
    const service = await start(['--security-attest-require', 'required', '--security-attest-classes', 'pkcs11', '--pq-verify-mode', 'or', '--pq-produce-hybrid', 'false']);
    const inside = await createKey(service, { alg: 'ed25519' }, OPERATOR);
    const wrapped = await createKey(service, {}, OPERATOR);
    expect(codeOf(await sign(service, inside['kid'] as string))).toBe('ok');
    expect(codeOf(await sign(service, wrapped['kid'] as string))).toBe('403 AttestationMissing');
  });

  // Of one that hangs it is the call's own deadline that ends it, or the probe's before that.
  test.each(['session-stolen', 'device-error', 'segfault', 'hang'] as const)('%s: one answer for each call, verify goes on, and it comes back by itself', async (fault) => {
    const service = await start();
    const { kid } = await createKey(service, {}, OPERATOR);
    const { body: { sigs } } = await sign(service, kid);
    faulty.be(fault);
    const answers = await Promise.all(Array.from({ length: 8 }, () => sign(service, kid)));
    expect(answers.every((answer) => ['503 StoreUnavailable', '504 Timeout'].includes(codeOf(answer)))).toBe(true);
    expect(answers.filter((answer) => answer.status === 503).every(({ headers }) => Number(headers.get('retry-after')) >= 1)).toBe(true);
    await eventually('readiness says so', 10_000, async () => !(await readinessOf(service)).conditions['backend_ready']);
    expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR)).body['ok']).toBe(true);
    expect(await cacheAgeMs(service)).toBeGreaterThan(0);
    faulty.be('well');
    await untilReady(service, 30_000);
    expect(codeOf(await sign(service, kid))).toBe('ok');
    expect(await cacheAgeMs(service)).toBe(0);
    expect(await service.end('SIGTERM')).toBe(0);
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  });

  test('a PIN that is locked keeps it from starting, and the doctor says who helps', async () => {
    faulty.be('pin-locked');
    expect(await instance.startRefused()).toMatch(/ended with 5: .*CKR_PIN_LOCKED/);
    const { code, out } = await ronKms(['doctor', '--config', join(root, 'kms.toml'), '--offline', '--json'], { cwd: root, env: { ...soft.env, ...faulty.env, KMS_PIN: PIN } });
    expect(code).toBe(1);
    expect(findingOf(out, 'PKCS #11 token')).toMatchObject({ level: 'wrong', advice: expect.stringContaining('the security officer resets it') });
    faulty.be('well');
    const well = await ronKms(['doctor', '--config', join(root, 'kms.toml'), '--offline', '--json'], { cwd: root, env: { ...soft.env, ...faulty.env, KMS_PIN: PIN } });
    expect(['PKCS #11 token', 'PKCS #11 mechanisms', 'PKCS #11 keys', 'root key'].map((name) => findingOf(well.out, name)?.level)).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(findingOf(well.out, 'PKCS #11 mechanisms')?.says).toContain('no ML-DSA, which is sealed by the token');
    const wrong = await ronKms(['doctor', '--config', join(root, 'kms.toml'), '--offline', '--json'], { cwd: root, env: { ...soft.env, ...faulty.env, KMS_PIN: 'wrong' } });
    expect(findingOf(wrong.out, 'PKCS #11 token')?.advice).toContain('locks itself after some wrong PINs');
  });

  test('log keys that change are made in the token, and the ones before leave it once they sign no more', async () => {
    const service = await start();
    expect(logKeysIn(soft)).toBe(2);
    expect(codeOf(await call(service, 'POST', '/admin/log-keys', { compromised: true }, OPERATOR))).toBe('ok');
    await eventually('the old ones are gone', 15_000, () => logKeysIn(soft) === 2);
    const { body } = await call(service, 'GET', '/audit/keys', undefined, OPERATOR);
    const keys = body['keys'] as { vkey: string; until_index?: number }[];
    expect(keys.filter(({ until_index: until }) => until === undefined)).toHaveLength(2);
    await service.end('SIGTERM');
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: keys.flatMap(({ vkey }) => parseVkey(vkey) ?? []), jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  });

  test('a module that hangs keeps neither a change of log keys nor a stop waiting', async () => {
    const service = await start();
    faulty.be('hang');
    const changed = await call(service, 'POST', '/admin/log-keys', {}, OPERATOR);
    expect(codeOf(changed)).toMatch(/^503 (AuditUnavailable|StoreUnavailable)$/);
    const startedMs = performance.now();
    await service.end('SIGTERM');
    expect(performance.now() - startedMs).toBeLessThan(20_000);
    faulty.be('well');
    const again = await start();
    expect(codeOf(await sign(again, (await createKey(again, {}, OPERATOR))['kid']))).toBe('ok');
  });

  test('an old copy of the whole disk is refused: the token remembers', async () => {
    let service = await start();
    const copies = mkdtempSync(join(tmpdir(), 'ron-kms-old-disk-'));
    onTestFinished(() => rmSync(copies, { recursive: true, force: true }));
    await createKey(service, {}, OPERATOR);
    await service.end('SIGTERM');
    for (const name of ['audit', 'sealed']) cpSync(join(root, name), join(copies, name), { recursive: true });
    service = await start();
    await createKey(service, {}, OPERATOR);
    await service.end('SIGTERM');
    for (const name of ['audit', 'sealed']) {
      rmSync(join(root, name), { recursive: true });
      cpSync(join(copies, name), join(root, name), { recursive: true });
    }
    const restored = await instance.start();
    expect((await readinessOf(restored)).missing.join()).toMatch(/an older copy of the log was restored/);
    expect(codeOf(await call(restored, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }, OPERATOR))).toBe('503 AuditUnavailable');
  });
});

function logKeysIn(soft: SoftToken): number {
  return soft.labels().filter((label) => /^ron-kms (log|attest) /.test(label)).length;
}

function findingOf(out: string, name: string): { readonly level: string; readonly says: string; readonly advice?: string } | undefined {
  return (JSON.parse(out) as { findings: { name: string; level: string; says: string; advice?: string }[] }).findings.find((finding) => finding.name === name);
}
