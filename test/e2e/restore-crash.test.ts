import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ronKms } from '../cli/ron-kms.ts';
import { endInstances, initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { call, LAUNCHER } from '../harness/service.ts';

const canTrace = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
if (!canTrace) console.warn('SKIPPED: kill -9 at every rename of a restore; install strace (apt-get install strace), and allow ptrace');

const STRIDE = process.env['CI'] === undefined ? 5 : 1;
const ENV = { KMS_TEST_WORDS: 'otter lantern quartz meadow' };
const home = mkdtempSync(join(tmpdir(), 'ron-kms-restore-crash-'));
afterAll(async () => {
  await endInstances();
  rmSync(home, { recursive: true, force: true });
});

const DIRECTORIES = ['audit', 'sealed', 'kms.toml', 'anchor'] as const;

test.runIf(canTrace)('kill -9 at each rename of a restore: done again, it ends as one that was not cut off, and nothing that was there is lost', { timeout: 900_000 }, async () => {
  mkdirSync(join(home, 'anchor'));
  mkdirSync(join(home, 'backups'));
  writeFileSync(join(home, 'backup.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  const anchored = ['--audit-anchor', 'file', '--audit-anchor-path', join(home, 'anchor', 'anchor.json')];
  const instance = await initInstance(home, { always: ['--backup-dir', join(home, 'backups'), '--backup-keyfile-path', join(home, 'backup.key'), ...anchored] });
  const service = await instance.start();
  const made = await call(service, 'POST', '/keys', { tenant: 'acme', purpose: 'a' }, OPERATOR);
  const kid = String(made.body['kid']);
  const backedUp = await ronKms(['backup', '--json', '--url', service.apiUrl], { cwd: home, env: { RON_KMS_TOKEN: OPERATOR } });
  const file = join(home, 'backups', (JSON.parse(backedUp.out) as { file: string }).file);
  expect((await call(service, 'POST', `/keys/${encodeURIComponent(kid)}/disable`, {}, OPERATOR)).status).toBe(200);
  await service.end('SIGTERM');
  for (const name of DIRECTORIES) cpSync(join(home, name), join(home, 'before', name), { recursive: true });

  const args = ['restore', file, '--config', join(home, 'kms.toml'), '--backup-keyfile-path', join(home, 'backup.key'), ...anchored, '--accept-rollback'];
  let killed = 0;
  for (let nth = 1; ; nth += STRIDE) {
    for (const name of DIRECTORIES) {
      rmSync(join(home, name), { recursive: true, force: true });
      cpSync(join(home, 'before', name), join(home, name), { recursive: true });
    }
    // strace counts the calls of each thread by itself, so there is one.
    const { status, signal } = spawnSync('strace', ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=/^rename', '-e', `inject=/^rename:signal=SIGKILL:when=${nth}`, LAUNCHER, ...args], { cwd: home, env: { ...process.env, ...ENV, UV_THREADPOOL_SIZE: '1' }, stdio: 'ignore' });
    if (status === 0) break;
    expect(signal).toBe('SIGKILL');
    killed++;
    const again = await ronKms(args, { cwd: home, env: ENV });
    expect([nth, again.code, again.err]).toEqual([nth, 0, '']);
    expect(readFileSync(join(home, 'kms.toml'), 'utf8')).not.toContain(instance.origin.replace('ron-kms/', ''));
    const next = await instance.start();
    await untilReady(next);
    expect((await call(next, 'GET', `/keys/${encodeURIComponent(kid)}`, undefined, OPERATOR)).body).toMatchObject({ state: 'disabled' });
    await next.end('SIGTERM');
    // The log before lies whole beside the new one, wherever the first try was cut off.
    const kept = readdirSync(join(home, 'audit')).filter((name) => name.startsWith('replaced-')).flatMap((name) => readdirSync(join(home, 'audit', name)));
    for (const name of ['identity.json', 'root-key.json', 'log-keys.json', 'checkpoint']) expect(kept).toContain(name);
  }
  expect(killed).toBeGreaterThan(2);
});
