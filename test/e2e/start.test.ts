import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { ronKms } from '../cli/ron-kms.ts';
import { initInstance, readinessOf } from '../harness/file-service.ts';
import { call, LAUNCHER, serve, startService } from '../harness/service.ts';

const run = promisify(execFile);
const running: ReturnType<typeof spawn>[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  }
});

/** Starts the command and waits until it said what the pattern looks for, or ended. */
async function startAndRead(args: readonly string[], pattern: RegExp): Promise<{ readonly text: string; readonly exitCode: number | null }> {
  const child = spawn(LAUNCHER, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env } });
  running.push(child);
  let text = '';
  const collect = (chunk: Buffer): void => { text += chunk.toString(); };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const ended = once(child, 'close');
  while (!pattern.test(text) && child.exitCode === null) await Promise.race([once(child.stdout, 'data'), ended]);
  if (child.exitCode !== null) await ended;
  return { text, exitCode: child.exitCode };
}

const FREE_PORTS = ['--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0'];

describe('npm start', () => {
  test('prints where it listens, a token, and a curl line that works when pasted', async () => {
    const { text } = await startAndRead(['serve', '--profile', 'micronode', ...FREE_PORTS], /Ctrl-C/);
    expect(text).toMatch(/listens on http:\/\/127\.0\.0\.1:\d+\/v1\/kms/);
    const line = text.split('\n').find((one) => one.trim().startsWith('curl '))?.trim() ?? '';
    const { stdout } = await run('sh', ['-c', line]);
    expect(JSON.parse(stdout)).toMatchObject({ tenant: 'demo', alg: 'ed25519+ml-dsa', current_version: 1 });
  });

  test('its pid is the pid of the service, and SIGTERM ends it with 0', async () => {
    const service = await startService();
    expect((await fetch(`${service.metricsUrl}/healthz`)).status).toBe(200);
    process.kill(service.pid, 0);
    expect(await service.stop()).toBe(0);
    expect(() => process.kill(service.pid, 0)).toThrow();
  });
});

test('without a key set it starts, takes no token, and /readyz names what to set', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'ron-kms-start-'));
  expect(await ronKms(['init', '--seal', 'keyfile'], { cwd })).toMatchObject({ code: 0 });
  const service = await serve([], { cwd });
  try {
    expect(await readinessOf(service)).toMatchObject({ status: 503, conditions: { auth_ready: false }, missing: [expect.stringMatching(/^auth_ready: set auth\.keyset_path /)] });
    expect((await call(service, 'GET', '/keys')).status).toBe(401);
  } finally {
    await service.end('SIGKILL');
    rmSync(cwd, { recursive: true });
  }
});

describe('npm run demo', () => {
  test('ends with a receipt, checked with nothing but the file and the keys of the log', async () => {
    const { stdout } = await run(LAUNCHER, ['demo', '--json']);
    const steps = stdout.trim().split('\n').map((line) => JSON.parse(line) as { step: string; result: string });
    const { result = '' } = steps.at(-1) ?? {};
    expect(steps.map(({ step }) => step).slice(-2)).toEqual(['fetch the receipt of the last signature', 'check it offline']);
    expect(result).toMatch(/^entry \d+ of \d+: sign of this file with demo\/release\/ed25519\+ml-dsa\/[0-9a-f-]+#v2\n.* Ed25519 and ML-DSA-44\n.*refused, the entry is not at index \d+/);
  });

  test('tells the whole story, exits 0 and leaves nothing behind', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('ron-kms-demo-'));
    const { stdout } = await run(LAUNCHER, ['demo']);
    for (const step of ['create a key', 'narrow the token offline', '403 NoCapability', 'ML-DSA-65', 'verify it without us', 'ed25519 valid, ml-dsa valid', 'not valid', 'unwrap it', 'v1 → v2', 'signed with Ed25519 and ML-DSA-44', 'with one bit of it changed: refused', 'nothing is left behind']) expect(stdout).toContain(step);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('ron-kms-demo-'))).toEqual(before);
  });
});

describe('a start that cannot be right is refused, in one line that says what to change', () => {
  const free = ['serve', '--profile', 'micronode', ...FREE_PORTS];
  test.each([
    ['nothing was made yet', ['serve'], /audit\.dir has no identity\.json: ron-kms init makes one/],
    ['a token that nobody names', ['serve', '--profile', 'macronode'], /macronode.*pkcs11.*needs backends\.pkcs11\.module_path/],
    ['a directory for a log that is kept in RAM', [...free, '--audit-dir', 'x'], /audit\.dir is set, and service\.amnesia = true/],
    ['off loopback without TLS', [...free, '--bind-addr', '0.0.0.0:0'], /off loopback, which needs TLS/],
    ['every address of IPv6', [...free, '--bind-addr', '[::]:0'], /off loopback, which needs TLS/],
    ['a wrong value', [...free, '--read-timeout', 'soon'], /--read-timeout must be a duration/],
    ['an unknown profile', ['serve', '--profile', 'nano'], /profile must be one of/],
    ['a key set that is not there', [...free, '--auth-keyset-path', '/nowhere/keys.json'], /keys\.json/],
    ['introspection in the clear', [...free, '--auth-mode', 'introspect', '--auth-introspect-url', 'http://auth.example/'], /must be https/],
    ['introspection of nobody', [...free, '--auth-mode', 'introspect'], /needs auth\.introspect_url/],
    ['a configuration that is not there', [...free, '--config', '/nowhere/kms.toml'], /cannot be read/],
  ])('%s', async (_name, args, message) => {
    const { text, exitCode } = await startAndRead(args, /never/);
    expect(exitCode).toBeGreaterThan(0);
    expect(text).toMatch(message);
    expect(text).not.toMatch(/^\s+at /m);
    expect(text.split('\n').length).toBeLessThan(5);
  });

  test('an address in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const { text, exitCode } = await startAndRead(['serve', '--profile', 'micronode', '--bind-addr', `127.0.0.1:${address.port}`, '--metrics-addr', '127.0.0.1:0'], /never/);
    taken.close();
    expect(exitCode).toBeGreaterThan(0);
    expect(text).toContain('in use');
  });

  test('an address in use, with keys on disk: nothing of it stays behind', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const home = mkdtempSync(join(tmpdir(), 'ron-kms-in-use-'));
    const instance = await initInstance(home);
    expect(await instance.startRefused({ flags: ['--bind-addr', `127.0.0.1:${port}`] })).toContain('in use');
    taken.close();
    expect(await (await instance.start()).end('SIGTERM')).toBe(0);
    rmSync(home, { recursive: true });
  });
});
