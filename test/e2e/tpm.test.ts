import type { FileInstance } from '../harness/file-service.ts';
import type { Answer, Serving } from '../harness/service.ts';
import type { SoftTpm } from '../harness/swtpm.ts';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { checkEvidence } from '../../client/src/log/evidence.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { makeIssuer } from '../harness/certificates.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey, serve } from '../harness/service.ts';
import { startSoftTpm, SWTPM, SWTPM_MISSING } from '../harness/swtpm.ts';

if (SWTPM === undefined) console.warn(SWTPM_MISSING);

const sign = (service: Serving, kid: string, more: object = {}): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST, ...more }, OPERATOR);
const codeOf = ({ status, body }: Answer): string => (status < 300 ? 'ok' : `${status} ${(body['error'] as { code: string }).code}`);
const evidenceOf = ({ body }: Answer): Buffer => Buffer.from((body['attestation'] as { evidence: string }).evidence, 'base64');

interface Machine {
  readonly root: string;
  readonly soft: SoftTpm;
  readonly instance: FileInstance;
  start(flags?: readonly string[]): Promise<Serving>;
}

async function newMachine(init: readonly string[] = [], environment: Readonly<Record<string, string>> = {}): Promise<Machine> {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-tpm-'));
  const soft = await startSoftTpm();
  onTestFinished(async () => {
    await endInstances();
    await soft.drop();
    rmSync(root, { recursive: true, force: true });
  });
  const instance = await initInstance(root, { init: ['--backend', 'tpm', '--tpm-device', soft.device, ...init], environment });
  return {
    root, soft, instance,
    async start(flags = []) {
      const service = await instance.start({ flags });
      await untilReady(service);
      return service;
    },
  };
}

describe.skipIf(SWTPM === undefined)('service.backend = "tpm"', { timeout: 60_000 }, () => {
  afterEach(endInstances);

  test('opens its root key at each start, over a kill and a reboot, and keeps the counter where the log is', async () => {
    const { soft, instance, start } = await newMachine();
    let service = await start();
    const key = await createKey(service, {}, OPERATOR);
    expect(key['versions'][0].attestation_class).toBe('tpm-sealed');
    expect(codeOf(await sign(service, key['kid'] as string))).toBe('ok');
    await service.end('SIGKILL');
    await soft.reboot();
    service = await start();
    expect(codeOf(await sign(service, key['kid'] as string))).toBe('ok');
    expect(await service.end('SIGTERM')).toBe(0);
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  });

  test('an old copy of the whole disk is refused, however whole it is: all but verify and reads is 503', async () => {
    const { root, instance, start } = await newMachine();
    let service = await start();
    const { kid, ...key } = await createKey(service, {}, OPERATOR);
    const { body: { sigs } } = await sign(service, kid);
    await service.end('SIGTERM');
    const copies = mkdtempSync(join(tmpdir(), 'ron-kms-old-disk-'));
    onTestFinished(() => rmSync(copies, { recursive: true, force: true }));
    for (const name of ['audit', 'sealed']) cpSync(join(root, name), join(copies, name), { recursive: true });

    service = await start();
    expect(codeOf(await call(service, 'POST', `/keys/${kid.split('#')[0]}/rotate`, {}, OPERATOR))).toBe('ok');
    await service.end('SIGTERM');
    for (const name of ['audit', 'sealed']) {
      rmSync(join(root, name), { recursive: true });
      cpSync(join(copies, name), join(root, name), { recursive: true });
    }

    const restored = await instance.start();
    await eventually('the roll-back is seen', 10_000, async () => !(await readinessOf(restored)).conditions['audit_ready']);
    expect((await readinessOf(restored)).missing.join()).toMatch(/the anchor has the value \d+, the log's last anchor entry \d+: an older copy of the log was restored/);
    expect(codeOf(await sign(restored, kid))).toBe('503 AuditUnavailable');
    expect(codeOf(await call(restored, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }, OPERATOR))).toBe('503 AuditUnavailable');
    expect((await call(restored, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR)).body['ok']).toBe(true);
    expect(key['current_version']).toBe(1);

  });

  test('a counter that is behind the log is as bad: the TPM was cleared, or its memory given away', async () => {
    const { soft, instance, start } = await newMachine();
    const service = await start();
    await createKey(service, {}, OPERATOR);
    await service.end('SIGTERM');
    for (const index of ['0x1800a10', '0x1800a11']) soft.tool('tpm2_nvundefine', index);
    const robbed = await instance.start();
    expect((await readinessOf(robbed)).missing.join()).toMatch(/the anchor has never been advanced, and the log's last anchor entry has the value \d+: the anchor was lost or replaced/);
    expect(codeOf(await call(robbed, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }, OPERATOR))).toBe('503 AuditUnavailable');
  });

  test('what keeps it from starting is said, with what to do: other PCRs, another TPM, none, a wrong PIN', async () => {
    const { soft, instance, start } = await newMachine(['--tpm-pin-env', 'TPM_PIN'], { TPM_PIN: 'otter-lantern' });
    await (await start()).end('SIGTERM');
    expect(await instance.startRefused({ env: { TPM_PIN: 'wrong' } })).toMatch(/ended with 5: .*the PIN is wrong/);
    expect(await instance.startRefused({ env: { TPM_PIN: '' } })).toContain('backends.tpm.pin_env');
    soft.extendPcr(7);
    expect(await instance.startRefused()).toMatch(/the PCRs of the TPM are not those that were sealed to: .*restore from a backup/);
    const other = await startSoftTpm();
    onTestFinished(() => other.drop());
    expect(await instance.startRefused({ flags: ['--backends-tpm-device', other.device] })).toContain('another TPM than the one that sealed');
    await soft.stop();
    expect(await instance.startRefused()).toMatch(/the TPM .* cannot be opened/);
    await soft.start();
    await (await start()).end('SIGTERM');
  });

  test('evidence comes when it is asked for: a quote over key, digest, log and generation, and the log has its hash', async () => {
    const { root, instance, start } = await newMachine();
    const service = await start();
    const key = await createKey(service, {}, OPERATOR);
    const { kid } = key;
    expect((await sign(service, kid)).body['attestation']).toBeUndefined();
    const signed = await sign(service, kid, { attest: true });
    expect(signed.body['attestation']).toMatchObject({ class: 'tpm-sealed' });
    const evidence = evidenceOf(signed);
    const publicSha256 = createHash('sha256').update(Buffer.concat((key['versions'][0].public as { pubkey_b64: string }[]).map(({ pubkey_b64: text }) => Buffer.from(text, 'base64')))).digest('hex');
    const pins = { keys: [instance.attestationKey as string], nonce: Buffer.from(DIGEST, 'hex'), kid, publicSha256, classes: ['tpm-sealed'] };
    expect(checkEvidence(evidence, pins)).toMatchObject({ ok: true, problems: [], statement: { origin: instance.origin, generation: 1, device: { kind: 'tpm', pcrs: [7] } } });
    // None of it can be changed, and none of the pins be another.
    for (let at = 0; at < evidence.length; at += 7) {
      const changed = Buffer.from(evidence);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(checkEvidence(changed, pins).ok, `byte ${at}`).toBe(false);
    }
    for (const other of [{ keys: [] }, { nonce: Buffer.alloc(32) }, { kid: `${kid}9` }, { publicSha256: '00'.repeat(32) }, { classes: ['pkcs11'] }, { pcrDigest: '00'.repeat(32) }, { notBefore: '2999-01-01T00:00:00.000Z' }]) expect(checkEvidence(evidence, { ...pins, ...other }).ok).toBe(false);

    const { body: { records } } = await call(service, 'GET', '/audit/records?op=sign', undefined, OPERATOR);
    const entries = (records as { entry: { attestation?: object } }[]).map(({ entry }) => entry.attestation);
    expect(entries).toContainEqual({ class: 'tpm-sealed', evidence_sha256: createHash('sha256').update(evidence).digest('hex') });
    writeFileSync(join(root, 'signed.json'), JSON.stringify(signed.body));
    const told = await ronKms(['attest', 'verify', 'signed.json', '--key', instance.attestationKey as string, '--nonce', DIGEST, '--kid', kid], { cwd: root });
    expect([told.code, told.out]).toEqual([0, expect.stringContaining('held as tpm-sealed')]);
    expect((await ronKms(['attest', 'verify', 'signed.json', '--key', instance.attestationKey as string, '--nonce', '00'.repeat(32)], { cwd: root })).code).toBe(3);
    expect((await ronKms(['attest', 'verify', 'signed.json'], { cwd: root })).err).toContain('no attestation key is pinned');
  });

  test('the keys of the log come with a quote, also when they change, and the attestation key changes with them', async () => {
    const { instance, start } = await newMachine();
    const service = await start();
    expect(codeOf(await call(service, 'POST', '/admin/log-keys', {}, OPERATOR))).toBe('ok');
    const { body } = await call(service, 'GET', '/audit/keys', undefined, OPERATOR);
    const keys = body['keys'] as { vkey: string; from_index: number; attestation: { key: string; evidence_b64: string } }[];
    expect(keys).toHaveLength(4);
    expect(keys[0]?.attestation.key).toBe(instance.attestationKey);
    expect(new Set(keys.map(({ attestation }) => attestation.key)).size).toBe(2);
    for (const { vkey, attestation } of keys) {
      const checked = checkEvidence(Buffer.from(attestation.evidence_b64, 'base64'), { keys: [attestation.key] });
      expect(checked).toMatchObject({ ok: true });
      expect(checked.statement?.subject).toMatchObject({ log_keys: expect.arrayContaining([vkey]) });
    }
    const { body: { records } } = await call(service, 'GET', '/audit/records?op=log-keys', undefined, OPERATOR);
    const entries = (records as { entry: { attestation?: { evidence_sha256: string }; log_keys: { attestation_key: string } } }[]).map(({ entry }) => entry);
    expect(entries.map((entry) => entry.log_keys.attestation_key)).toEqual([keys[0]?.attestation.key, keys[2]?.attestation.key]);
    expect(entries.map((entry) => entry.attestation?.evidence_sha256)).toEqual([0, 2].map((i) => createHash('sha256').update(Buffer.from(keys[i]?.attestation.evidence_b64 ?? '', 'base64')).digest('hex')));
  });

  test('where evidence is required, every signature has some of this session; a TPM that hangs or is gone stops signing, not verifying, and it comes back by itself', async () => {
    const { soft, instance, start } = await newMachine(['--anchor', 'none']);
    const service = await start(['--security-attest-require', 'required']);
    const { kid } = await createKey(service, {}, OPERATOR);
    const first = await sign(service, kid);
    const { body: { sigs } } = first;
    expect(checkEvidence(evidenceOf(first), { keys: [instance.attestationKey as string], kid }).ok).toBe(true);
    expect(evidenceOf(await sign(service, kid))).toEqual(evidenceOf(first));
    soft.freeze();
    expect(codeOf(await sign(service, kid, { attest: true }))).toBe('403 AttestationMissing');
    // Evidence of the session is still good for its minute; of a key that has none there is none to be had.
    expect(codeOf(await sign(service, kid))).toBe('ok');
    const { kid: other } = await createKey(service, {}, OPERATOR);
    expect(codeOf(await sign(service, other))).toBe('403 AttestationMissing');
    expect((await readinessOf(service)).conditions['attestation_ready']).toBe(false);
    expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR)).body['ok']).toBe(true);
    expect(await (await fetch(`${service.metricsUrl}/metrics`)).text()).toMatch(/kms_attest_total\{backend="tpm",result="missing"\} [2-9]/);
    await soft.stop();
    await soft.start();
    await untilReady(service, 20_000);
    expect(codeOf(await sign(service, other))).toBe('ok');
    await eventually('it is said', 5000, () => /evidence_missing[\s\S]*evidence_back/.test(service.log()));
  });

  test('what is not listed in security.attest_classes does not sign where evidence is required', async () => {
    const { start } = await newMachine(['--anchor', 'none']);
    const service = await start(['--security-attest-require', 'required', '--security-attest-classes', 'pkcs11']);
    const { kid } = await createKey(service, {}, OPERATOR);
    const refused = await sign(service, kid);
    expect(codeOf(refused)).toBe('403 AttestationMissing');
    expect((refused.body['error'] as { hint: string }).hint).toContain('security.attest_classes does not list tpm-sealed');
  });

  test('attest_require = "never" gives none, also to who asks', async () => {
    const { start } = await newMachine(['--anchor', 'none']);
    const service = await start(['--security-attest-require', 'never']);
    const { kid } = await createKey(service, {}, OPERATOR);
    expect((await sign(service, kid, { attest: true })).body['attestation']).toBeUndefined();
  });

  test('a board that broke: a backup under a passphrase goes under another TPM, with a new log, and everything opens', async () => {
    const { root, instance } = await newMachine();
    const backups = join(root, 'backups');
    mkdirSync(backups);
    const backupFlags = ['--backup-dir', backups, '--backup-passphrase-env', 'BACKUP_WORDS'];
    let service = await instance.start({ flags: backupFlags, env: { BACKUP_WORDS: 'meadow lantern quartz otter' } });
    await untilReady(service);
    const { kid } = await createKey(service, {}, OPERATOR);
    expect(codeOf(await call(service, 'POST', '/admin/backup', {}, OPERATOR))).toBe('ok');
    const file = await eventually('the backup is written', 10_000, () => readdirSync(backups).find((name) => name.endsWith('.kmsbackup')));
    await service.end('SIGTERM');

    const other = await startSoftTpm();
    onTestFinished(() => other.drop());
    // A disk that is new, too.
    for (const name of ['audit', 'sealed']) rmSync(join(root, name), { recursive: true });
    const flags = ['--config', join(root, 'kms.toml'), '--backends-tpm-device', other.device, ...backupFlags];
    const restored = await ronKms(['restore', join(backups, file), ...flags, '--accept-rollback', '--json'], { cwd: root, env: { BACKUP_WORDS: 'meadow lantern quartz otter' } });
    expect([restored.code, restored.err]).toEqual([0, ""]);
    service = await instance.start({ flags: ['--backends-tpm-device', other.device] });
    await untilReady(service);
    expect(codeOf(await sign(service, kid, { attest: true }))).toBe('ok');
    await service.end('SIGTERM');
  });

  test('macronode starts on it: evidence, an anchor, TLS and root keys of tokens from nowhere on disk', async () => {
    const { root, soft, instance } = await newMachine();
    const issuer = await makeIssuer(root, 'ca');
    const { certPath, keyPath } = await issuer.issue('kms');
    // Lent as systemd does it.
    const credentials = join(root, 'credentials');
    mkdirSync(credentials);
    cpSync(join(root, 'keyset.json'), join(credentials, 'ron-kms.keyset'));
    const flags = ['--config', join(root, 'kms.toml'), '--audit-dir', instance.auditDir, '--profile', 'macronode', '--service-backend', 'tpm', '--tls-cert-path', certPath, '--tls-key-path', keyPath];
    const service = await serve(flags, { cwd: root, env: { CREDENTIALS_DIRECTORY: credentials } });
    onTestFinished(async () => { await service.end('SIGKILL'); });
    await untilReady(service);
    expect((await readinessOf(service)).conditions['attestation_ready']).toBe(true);
    expect(soft.tool('tpm2_getcap', 'handles-transient').trim()).toBe('');
    await service.end('SIGTERM');
    await expect(serve([...flags, '--service-backend', 'cloud', '--backends-file-seal', 'cloud', '--backends-cloud-provider', 'aws-kms', '--backends-cloud-key', 'k'], { cwd: root })).rejects.toThrow(/gives no evidence of where its keys are/);
    await expect(serve([...flags, '--audit-anchor', 'none'], { cwd: root })).rejects.toThrow(/does not notice that the disk was rolled back: set it to \\"tpm\\"/);
  });

  test('an init that fails half way leaves nothing, on disk or in the TPM', async () => {
    const { root, soft } = await newMachine(['--anchor', 'none']);
    const init = (...more: readonly string[]) => ronKms(['init', '--backend', 'tpm', '--tpm-device', soft.device, '--audit-dir', join(root, 'a2'), '--sealed-dir', join(root, 's2'), '--config', join(root, 'k2.toml'), ...more], { cwd: root });
    soft.tool('tpm2_nvdefine', '0x1800b11', '-s', '8', '-a', 'ownerread|ownerwrite|authread|authwrite');
    soft.tool('tpm2_nvdefine', '0x1800b10', '-s', '8', '-a', 'ownerread|ownerwrite|authread|authwrite');
    const refused = await init('--tpm-nv-index', '0x01800b10');
    expect([refused.code === 0, refused.err]).toEqual([false, expect.stringContaining('name another with backends.tpm.nv_index')]);
    expect(() => readFileSync(join(root, 'a2', 'root-key.json'))).toThrow();
    expect((await init('--tpm-nv-index', 'here')).err).toContain('--tpm-nv-index is an NV index such as 0x01800a10');
    expect((await init('--slot-label', 'kms')).err).toContain('--slot-label is for --backend or --seal pkcs11');
    expect((await init()).code).toBe(0);
  });
});
