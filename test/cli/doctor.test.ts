import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { initInstance } from '../harness/file-service.ts';
import { createKey, keysetText, LAUNCHER, startService } from '../harness/service.ts';
import { eventually } from '../harness/poll.ts';
import { ronKms } from './ron-kms.ts';

const directory = mkdtempSync(join(tmpdir(), 'ron-kms-doctor-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Told {
  readonly ok: boolean;
  readonly findings: readonly { name: string; level: string; says: string; advice?: string }[];
}

async function doctor(...flags: readonly string[]): Promise<{ readonly code: number | null; readonly told: Told }> {
  const { code, out } = await ronKms(['doctor', '--json', '--profile', 'micronode', ...flags], { cwd: directory });
  return { code, told: JSON.parse(out) as Told };
}

function wrongIn({ findings }: Told): readonly string[] {
  return findings.filter(({ level }) => level === 'wrong').map(({ name }) => name);
}

describe('the doctor', () => {
  test('finds a running service well, and everything that is not ok comes with advice', async () => {
    const service = await startService();
    const { code, told } = await doctor('--metrics-addr', service.metricsUrl.slice('http://'.length), '--auth-keyset-path', join(service.directory, 'keyset.json'));
    expect({ code, ok: told.ok, wrong: wrongIn(told) }).toEqual({ code: 0, ok: true, wrong: [] });
    expect(new Set(told.findings.map(({ name }) => name))).toEqual(new Set(['node', 'core dumps', 'locked memory', 'memlock limit', 'secure heap', 'clock', 'configuration', 'key set', 'service']));

    // The service loses its key set, and says so.
    rmSync(join(service.directory, 'keyset.json'));
    await eventually('readiness gone', 5000, async () => (await fetch(`${service.metricsUrl}/readyz`)).status === 503);
    const ill = await doctor('--metrics-addr', service.metricsUrl.slice('http://'.length));
    await service.stop();
    expect(ill.code).toBe(1);
    expect(ill.told.findings.find(({ name }) => name === 'service')).toMatchObject({ level: 'wrong', says: expect.stringContaining('auth_ready') });
  });

  test('says where it looked for a service that is not there, unless it is to be left out', async () => {
    const { code, told } = await doctor('--metrics-addr', '127.0.0.1:9');
    expect({ code, wrong: wrongIn(told) }).toEqual({ code: 1, wrong: ['service'] });
    expect(told.findings.at(-1)?.says).toContain('127.0.0.1:9/readyz');
    expect(await doctor('--offline')).toMatchObject({ code: 0, told: { ok: true } });
  });

  test('is not taken in by something else at the address', async () => {
    const other = createServer((_request, response) => { response.end('{"hello":"there"}'); }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { told } = await doctor('--metrics-addr', `127.0.0.1:${port}`);
    other.close();
    other.closeAllConnections();
    expect(told.findings.at(-1)).toMatchObject({ level: 'wrong', says: expect.stringContaining('no ron-kms') });
  });

  test('looks at the key set: there, private, and one', async () => {
    const path = join(directory, 'keyset.json');
    const keysetFinding = async () => (await doctor('--offline', '--auth-keyset-path', path)).told.findings.find(({ name }) => name === 'key set');
    expect(await keysetFinding()).toMatchObject({ level: 'wrong', says: expect.stringContaining('is not there') });
    writeFileSync(path, keysetText([{ id: 'a', secret: Buffer.alloc(32, 1) }]), { mode: 0o644 });
    expect(await keysetFinding()).toMatchObject({ level: 'wrong', advice: `chmod 600 ${path}` });
    chmodSync(path, 0o600);
    expect(await keysetFinding()).toMatchObject({ level: 'ok', says: `${path}, root keys a` });
    writeFileSync(path, 'broken');
    expect(await keysetFinding()).toMatchObject({ level: 'wrong', says: expect.stringContaining('is not a key set') });
    writeFileSync(path, '{"keys":[]}');
    expect(await keysetFinding()).toMatchObject({ level: 'wrong', says: expect.stringContaining('is empty') });
  });

  test('tells a configuration that does not fit, and goes on', async () => {
    const { code, told } = await doctor('--offline', '--bind-addr', '10.0.0.1:9446', '--auth-revocations-path', join(directory, 'lost'));
    expect(code).toBe(1);
    expect(wrongIn(told)).toEqual(['configuration', 'revocations']);
  });

  test('sees when no memory can be locked', () => {
    const { stdout, status } = spawnSync('sh', ['-c', `ulimit -l 0 && exec "${LAUNCHER}" doctor --profile micronode --offline --json`], { cwd: directory });
    const told = JSON.parse(stdout.toString()) as Told;
    // Root may lock whatever the limit says; then the limit alone is worth a word.
    const isRoot = process.getuid?.() === 0;
    expect(told.findings.find(({ name }) => name === 'memlock limit')?.level).toBe('weak');
    expect({ status, wrong: wrongIn(told) }).toEqual(isRoot ? { status: 0, wrong: [] } : { status: 1, wrong: ['locked memory'] });
  });

  test('in words: a line each, with what to do', async () => {
    const { out } = await ronKms(['doctor', '--profile', 'micronode', '--metrics-addr', '127.0.0.1:9'], { cwd: directory });
    expect(out).toMatch(/^ok {5}node {2,}v26/);
    expect(out).toMatch(/^wrong {2}service .*; start it with ron-kms serve/m);
    for (const line of out.trim().split('\n').filter((text) => !text.startsWith('ok'))) expect(line).toContain('; ');
  });
});

describe('config print', () => {
  test('shows each value with where it comes from', async () => {
    writeFileSync(join(directory, 'kms.toml'), 'profile = "micronode"\nmax_conns = 9\n[tenants.core]\nverify_mode = "and"\nclassical_ok = true\n');
    const { code, out } = await ronKms(['config', 'print', '--json', '--idle-timeout', '9s'], { cwd: directory, env: { RON_KMS_READ_TIMEOUT: '7s' } });
    rmSync(join(directory, 'kms.toml'));
    expect(code).toBe(0);
    const { profile, settings, tenants } = JSON.parse(out) as { profile: string; settings: Record<string, object>; tenants: object };
    expect(profile).toBe('micronode');
    expect(settings).toMatchObject({
      'max_conns': { value: 9, source: 'file kms.toml' }, 'read_timeout': { value: '7s', source: 'environment RON_KMS_READ_TIMEOUT' }, 'idle_timeout': { value: '9s', source: 'flag --idle-timeout' },
      'service.backend': { value: 'inmem', source: 'profile micronode' }, 'bind_addr': { value: '127.0.0.1:9446', source: 'default' }, 'auth.keyset_path': { value: null },
    });
    expect(tenants).toEqual({ core: { verify_mode: 'and', classical_ok: true } });
  });

  test('in words it can be read as a list', async () => {
    const { out } = await ronKms(['config', 'print', '--profile', 'micronode'], { cwd: directory });
    expect(out).toMatch(/^service\.backend = "inmem" +# profile micronode$/m);
    expect(await ronKms(['config', 'check', '--profile', 'micronode'], { cwd: directory })).toMatchObject({ code: 0, out: 'the configuration is good (profile micronode)\n' });
  });
});

test('an older copy of log and keys under an anchor that has gone on is wrong, also with nothing running; the true one is not', async () => {
  const home = mkdtempSync(join(directory, 'older-'));
  for (const name of ['medium', 'older', 'true']) mkdirSync(join(home, name));
  const anchored = ['--audit-anchor', 'file', '--audit-anchor-path', join(home, 'medium', 'anchor.json')];
  const instance = await initInstance(home, { always: anchored });
  const parts = ['audit', 'sealed'];
  const look = async () => {
    const { out } = await ronKms(['doctor', '--offline', '--json', '--config', join(home, 'kms.toml'), ...anchored], { cwd: home, env: { KMS_TEST_WORDS: 'otter lantern quartz meadow' } });
    return (JSON.parse(out) as Told).findings.find(({ name }) => name === 'log');
  };
  for (const name of ['older', 'true']) {
    const service = await instance.start();
    await createKey(service);
    await service.end('SIGTERM');
    for (const part of parts) cpSync(join(home, part), join(home, name, part), { recursive: true });
  }
  expect(await look()).toMatchObject({ level: 'ok' });
  for (const part of parts) rmSync(join(home, part), { recursive: true });
  for (const part of parts) cpSync(join(home, 'older', part), join(home, part), { recursive: true });
  expect(await look()).toMatchObject({ level: 'wrong', says: expect.stringContaining('the anchor') });
}, 60_000);
