import type { Serving } from '../harness/service.ts';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { isKernelClockSynchronised } from '../../src/adapters/system/kernel-clock.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';

const LIBRARY = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`).find(existsSync);
if (LIBRARY === undefined) console.warn('SKIPPED: a wall clock that steps under a running service; install faketime (apt-get install faketime)');

let root: string;
beforeAll(() => { root = mkdtempSync(join(tmpdir(), 'ron-kms-clock-')); });
afterAll(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

const codeOf = async (service: Serving, path: string, body: object): Promise<string> => (await call(service, 'POST', path, body, OPERATOR)).body['error']?.code ?? 'ok';

describe.skipIf(LIBRARY === undefined)('a wall clock that steps under a running service', () => {
  test.each([['forward', '+3600'], ['back', '-3600']])('%s is doubted: only verify and reads go on, until the operator says that it is right', { timeout: 60_000 }, async (name, step) => {
    const directory = mkdtempSync(join(root, `${name}-`));
    const file = join(directory, 'offset');
    const setOffset = (offset: string): void => {
      writeFileSync(`${file}.new`, offset);
      renameSync(`${file}.new`, file);
    };
    setOffset('+0');
    const instance = await initInstance(directory);
    const service = await instance.start({ env: { LD_PRELOAD: LIBRARY ?? '', FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' } });
    await untilReady(service);
    const { kid } = await createKey(service, {}, OPERATOR);
    const { sigs } = (await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR)).body;

    setOffset(step);
    await eventually('the clock is doubted', 10_000, async () => !(await readinessOf(service)).conditions['clock_ok']);
    const { status, body, headers } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
    // Forward, the token has expired for whoever believes the clock; nothing is signed either way.
    expect(['ClockSkew', 'NoCapability']).toContain(body['error'].code);
    if (body['error'].code === 'ClockSkew') expect([status, headers.get('retry-after')]).toEqual([503, '30']);
    if (step.startsWith('-')) {
      expect(await codeOf(service, '/verify', { kid, payload_b3: DIGEST, sigs })).toBe('ok');
      expect((await call(service, 'GET', `/keys/${encodeURIComponent(kid)}`, undefined, OPERATOR)).status).toBe(200);
      expect(await codeOf(service, '/admin/accept-clock', {})).toBe('ok');
      expect(await codeOf(service, '/sign', { kid, payload_b3: DIGEST })).toBe('ok');
    }
    setOffset('+0');
    await service.end('SIGTERM');
    const checked = await ronKms(['audit', 'verify', instance.auditDir, ...instance.vkeys.flatMap((key) => ['--vkey', formatVkey(key)])], { cwd: root });
    expect([checked.code, checked.err]).toEqual([0, '']);
  });
});

test('where the kernel\'s word is required, the service believes it', { timeout: 30_000 }, async () => {
  const instance = await initInstance(mkdtempSync(join(root, 'kernel-')));
  const service = await instance.start({ flags: ['--security-clock-sync-required', 'true'] });
  if (isKernelClockSynchronised() === true) {
    await untilReady(service);
    return;
  }
  await eventually('the clock is doubted', 10_000, async () => !(await readinessOf(service)).conditions['clock_ok']);
  expect(await codeOf(service, '/keys', { tenant: 'core', purpose: 'audit' })).toBe('ClockSkew');
  expect(await codeOf(service, '/admin/accept-clock', {})).toBe('ok');
  expect(await codeOf(service, '/keys', { tenant: 'core', purpose: 'audit' })).toBe('ok');
});
