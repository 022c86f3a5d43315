import type { FileInstance } from '../harness/file-service.ts';
import type { Answer, Serving } from '../harness/service.ts';
import type { SoftToken } from '../harness/softhsm.ts';
import type { SoftTpm } from '../harness/swtpm.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';
import { startSoftTpm, SWTPM, SWTPM_MISSING } from '../harness/swtpm.ts';

const IS_HERE = SOFTHSM_MODULE !== undefined && SWTPM !== undefined;
if (!IS_HERE) console.warn(SOFTHSM_MODULE === undefined ? SOFTHSM_MISSING : SWTPM_MISSING);

const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${(body['error'] as { code: string }).code}`);
const hintOf = ({ body }: Answer): string => (body['error'] as { hint?: string }).hint ?? '';
const pathOf = (kid: string): string => kid.split('#')[0] ?? '';

const classOf = async (service: Serving, kid: string): Promise<string> => (await call(service, 'GET', `/keys/${pathOf(kid)}`, undefined, OPERATOR)).body['versions'].at(-1).attestation_class;

interface NewestLogKey { readonly held_by?: { readonly label: string }; readonly attestation?: { readonly class: string } }
const newestLogKey = async (service: Serving): Promise<NewestLogKey> =>
  ((await call(service, 'GET', '/audit/keys', undefined, OPERATOR)).body['keys'] as (NewestLogKey & { alg: string })[]).findLast(({ alg }) => alg === 'ed25519') ?? {};

const isProven = async ({ apiUrl }: Serving, index: number): Promise<boolean> => (await fetch(`${apiUrl}/v1/kms/audit/receipts/${index}`, { headers: { authorization: `Bearer ${OPERATOR}` } })).ok;

/** Each step goes on from the one before: one tenant on its way from sealed files to a TPM, to a token, and back to files. */
describe.skipIf(!IS_HERE)('a tenant moves by rotation', { timeout: 60_000 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-several-'));
  const environment: Record<string, string> = {};
  let soft: SoftToken;
  let tpm: SoftTpm;
  let instance: FileInstance;
  let signing = '';
  const wrapping: Record<string, string> = {};
  const wrapped: { readonly by: string; readonly wrapped_b64: string; readonly plaintext_key_b64: string }[] = [];

  beforeAll(async () => {
    soft = makeSoftToken();
    tpm = await startSoftTpm();
    Object.assign(environment, soft.env, { KMS_PIN: PIN, NEW_WORDS: 'meadow quartz lantern otter' });
    instance = await initInstance(root, { environment, always: ['--backends-pkcs11-module-path', soft.modulePath, '--backends-pkcs11-slot-label', LABEL, '--backends-pkcs11-pin-env', 'KMS_PIN', '--backends-tpm-device', tpm.device] });
  });
  afterEach(endInstances);
  afterAll(async () => {
    soft.drop();
    await tpm.drop();
    rmSync(root, { recursive: true, force: true });
  });

  const start = async (flags: readonly string[]): Promise<Serving> => {
    const service = await instance.start({ flags });
    await untilReady(service, 20_000);
    return service;
  };
  const sign = (service: Serving): Promise<Answer> => call(service, 'POST', '/sign', { kid: signing, payload_b3: DIGEST }, OPERATOR);
  const wrapAll = async (service: Serving, by: string): Promise<void> => {
    for (const kid of Object.values(wrapping)) {
      const { body } = await call(service, 'POST', '/wrap', { kid, size: 32 }, OPERATOR);
      wrapped.push({ by, wrapped_b64: body['wrapped_b64'], plaintext_key_b64: body['plaintext_key_b64'] });
    }
  };
  const unwrapAll = async (service: Serving): Promise<readonly string[]> => {
    const codes: string[] = [];
    for (const { by, wrapped_b64, plaintext_key_b64 } of wrapped) {
      const answer = await call(service, 'POST', '/unwrap', { wrapped_b64 }, OPERATOR);
      codes.push(`${by}: ${codeOf(answer) === 'ok' && answer.body['plaintext_key_b64'] === plaintext_key_b64 ? 'ok' : codeOf(answer)}`);
    }
    return codes;
  };
  const reseal = async (to: string, ...more: readonly string[]) => {
    const { code, out, err } = await ronKms(['rekey', 'seal', '--to', to, '--config', join(root, 'kms.toml'), '--backends-tpm-device', tpm.device, '--backends-pkcs11-module-path', soft.modulePath, '--backends-pkcs11-slot-label', LABEL, '--backends-pkcs11-pin-env', 'KMS_PIN', ...more], { cwd: root, env: { ...environment, KMS_TEST_WORDS: 'otter lantern quartz meadow' } });
    if (code !== 0) throw new Error(err);
    return out;
  };

  test('from files to a TPM: what was wrapped opens, nothing of before signs until it is rotated, and then the TPM\'s does', async () => {
    let service = await start([]);
    signing = pathOf((await createKey(service, {}, OPERATOR))['kid']);
    for (const alg of ['aes-256-gcm', 'x25519+ml-kem']) wrapping[alg] = pathOf((await createKey(service, { alg, purpose: 'wrap' }, OPERATOR))['kid']);
    const { body: { sigs } } = await sign(service);
    await wrapAll(service, 'file');
    await expect(reseal('tpm')).rejects.toThrow(/written by process|process \d+|is in use/);
    await service.end('SIGTERM');

    expect(await reseal('tpm')).toContain('backends.file.seal = "tpm"');
    expect(await instance.startRefused({ flags: [] })).toContain('the root key lies under a tpm: set backends.file.seal');
    service = await start(['--service-backend', 'tpm', '--service-read-backends', 'file', '--backends-file-seal', 'tpm']);
    const refused = await sign(service);
    expect([codeOf(refused), hintOf(refused)]).toEqual(['409 KeyState', 'this version is held by file, which is only read: rotate the key, and tpm holds its next version']);
    expect(codeOf(await call(service, 'POST', '/wrap', { kid: wrapping['aes-256-gcm'], size: 32 }, OPERATOR))).toBe('409 KeyState');
    expect((await call(service, 'POST', '/verify', { kid: signing, payload_b3: DIGEST, sigs }, OPERATOR)).body['ok']).toBe(true);
    expect(new Set(await unwrapAll(service))).toEqual(new Set(['file: ok']));
    for (const kid of [signing, ...Object.values(wrapping)]) expect(codeOf(await call(service, 'POST', `/keys/${kid}/rotate`, {}, OPERATOR))).toBe('ok');
    expect([codeOf(await sign(service)), await classOf(service, signing)]).toEqual(['ok', 'tpm-sealed']);
    await wrapAll(service, 'tpm');
    expect(new Set(await unwrapAll(service))).toEqual(new Set(['file: ok', 'tpm: ok']));
    await eventually('the log keys come with a quote', 15_000, async () => (await newestLogKey(service)).attestation?.class === 'tpm');
  });

  test('from there into a token, with both of before still read, and a new root key on the way', async () => {
    let service = await start(['--service-backend', 'pkcs11', '--service-read-backends', 'file,tpm', '--backends-file-seal', 'tpm']);
    for (const kid of [signing, ...Object.values(wrapping)]) expect(codeOf(await call(service, 'POST', `/keys/${kid}/rotate`, {}, OPERATOR))).toBe('ok');
    expect([codeOf(await sign(service)), await classOf(service, signing)]).toEqual(['ok', 'pkcs11-wrapped']);
    await wrapAll(service, 'pkcs11');
    await eventually('the log key is made in the token, whose word a signature has', 15_000, async () => (await newestLogKey(service)).held_by?.label === LABEL);
    expect((await call(service, 'POST', '/sign', { kid: signing, payload_b3: DIGEST, attest: true }, OPERATOR)).body).toHaveProperty('attestation.class', 'pkcs11-wrapped');
    expect(codeOf(await call(service, 'POST', '/admin/rekey', {}, OPERATOR))).toBe('ok');
    await eventually('all is moved', 20_000, async () => (await call(service, 'GET', '/admin/rekey', undefined, OPERATOR)).body['state'] === 'done');
    await service.end('SIGKILL');
    service = await start(['--service-backend', 'pkcs11', '--service-read-backends', 'file,tpm', '--backends-file-seal', 'tpm']);
    expect(new Set(await unwrapAll(service))).toEqual(new Set(['file: ok', 'tpm: ok', 'pkcs11: ok']));
    expect(codeOf(await sign(service))).toBe('ok');
  });

  test('what is not listed any more does not open, and says what to list', async () => {
    const service = await start(['--service-backend', 'pkcs11', '--service-read-backends', 'tpm', '--backends-file-seal', 'tpm']);
    expect(new Set(await unwrapAll(service))).toEqual(new Set(['file: 503 StoreUnavailable', 'tpm: ok', 'pkcs11: ok']));
    expect(hintOf(await call(service, 'POST', '/unwrap', { wrapped_b64: wrapped[0]?.wrapped_b64 }, OPERATOR))).toContain('list that in service.read_backends');
  });

  test('and back to files: a token that is only read and pulled out stops nothing but itself', async () => {
    expect(await reseal('passphrase', '--backends-file-seal', 'tpm', '--new-passphrase-env', 'NEW_WORDS')).toContain('backends.file.passphrase_env = "NEW_WORDS"');
    const service = await start(['--service-read-backends', 'pkcs11,tpm', '--backends-file-passphrase-env', 'NEW_WORDS']);
    expect(codeOf(await sign(service))).toBe('409 KeyState');
    for (const kid of [signing, ...Object.values(wrapping)]) expect(codeOf(await call(service, 'POST', `/keys/${kid}/rotate`, {}, OPERATOR))).toBe('ok');
    expect(await classOf(service, signing)).toBe('file');
    expect(new Set(await unwrapAll(service))).toEqual(new Set(['file: ok', 'tpm: ok', 'pkcs11: ok']));
    await eventually('the log key is in files', 15_000, async () => (await newestLogKey(service)).held_by === undefined);
    soft.remove();
    await eventually('it is out', 20_000, async () => (await unwrapAll(service)).includes('pkcs11: 503 StoreUnavailable'));
    for (let i = 0; i < 5; i++) expect(codeOf(await sign(service))).toBe('ok');
    expect((await unwrapAll(service)).filter((code) => !code.startsWith('pkcs11')).every((code) => code.endsWith('ok'))).toBe(true);
    const { body: { audit: { index } } } = await sign(service);
    await eventually('a checkpoint covers it', 15_000, () => isProven(service, index));
    soft.putBack();
    await eventually('it is back', 30_000, async () => (await unwrapAll(service)).every((code) => code.endsWith('ok')));
    await service.end('SIGTERM');
    expect(await instance.startRefused({ flags: ['--service-read-backends', 'tpm', '--backends-file-passphrase-env', 'NEW_WORDS'] })).toMatch(/a log key is held by a token \(kms\) and signs until 20.*list .*pkcs11.* in service.read_backends/);
    const { out } = await ronKms(['doctor', '--config', join(root, 'kms.toml'), '--offline', '--json', '--backends-file-passphrase-env', 'NEW_WORDS'], { cwd: root, env: environment });
    expect(out).toContain('a log key is held by a token (kms) that is not in use');
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  });
});
