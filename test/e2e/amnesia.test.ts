import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { call, createKey, keysetText, ROOT_KEY_ID, ROOT_SECRET, serve } from '../harness/service.ts';

const canTrace = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
if (!canTrace) console.warn('SKIPPED: what a service under amnesia writes; install strace (apt-get install strace), and allow ptrace');

const home = mkdtempSync(join(tmpdir(), 'ron-kms-amnesia-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const DIGEST = 'ab'.repeat(32);
/** All by which a file comes to be, changes or gets a name. */
const CALLS = 'openat,open,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,truncate,ftruncate,unlink,unlinkat,mknod,mknodat,memfd_create';
const FOR_WRITING = /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE/;

test.runIf(canTrace)('under amnesia nothing is written to any file: keys and log are in no file system call', { timeout: 60_000 }, async () => {
  const keyset = join(home, 'keyset.json');
  writeFileSync(keyset, keysetText([{ id: ROOT_KEY_ID, secret: ROOT_SECRET }]), { mode: 0o600 });
  const trace = join(home, 'trace');
  const service = await serve(['--profile', 'micronode', '--auth-keyset-path', keyset, '--security-sign-rate-limit-rps', '0'], {
    cwd: home, env: { NODE_DISABLE_COMPILE_CACHE: '1' }, under: ['strace', '-f', '-qq', '-o', trace, '-e', `trace=${CALLS}`],
  });
  const { kid } = await createKey(service);
  const { kid: wrapping } = await createKey(service, { alg: 'aes-256-gcm' });
  expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(200);
  expect((await call(service, 'POST', '/wrap', { kid: wrapping, size: 32 })).status).toBe(200);
  expect((await call(service, 'POST', `/keys/${encodeURIComponent(kid)}/rotate`, {})).status).toBe(200);
  const pid = Number(/^(\d+) /.exec(readFileSync(trace, 'utf8'))?.[1]);
  process.kill(pid, 'SIGTERM');
  expect(await service.gone()).toBe(0);

  const lines = readFileSync(trace, 'utf8').split('\n').filter((line) => line.includes('('));
  expect(lines.length).toBeGreaterThan(100);
  const written = lines.filter((line) => !/ (openat|open)\(/.test(line) || FOR_WRITING.test(line)).filter((line) => !line.includes('= -1 ') && !line.includes('--- SIG') && !/"\/dev\/(null|tty)"/.test(line));
  expect(written).toEqual([]);
});
