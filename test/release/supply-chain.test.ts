import type { Lockfile } from '../../scripts/release/lockfile.ts';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { faultsOfLockfile } from '../../scripts/release/lockfile.ts';
import { makeSbom, shippedRefs } from '../../scripts/release/sbom.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OWN = ['', 'client'];
const lockfile = (): Lockfile => JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')) as Lockfile;
type Locked = Lockfile['packages'][string];

/** The lockfile with one package changed, or one more. */
function planted(path: string, change: Partial<Record<keyof Locked, unknown>>): readonly string[] {
  const { packages, ...rest } = lockfile();
  return faultsOfLockfile({ ...rest, packages: { ...packages, [path]: { ...packages[path], ...change } as Locked } }, OWN);
}

test('the dependencies are as the policy has them', () => {
  const locked = lockfile();
  expect(Object.keys(locked.packages).length).toBeGreaterThan(100);
  expect(faultsOfLockfile(locked, OWN)).toEqual([]);
});

test.each([
  ['', { dependencies: { fastify: '^5.12.8' } }, 'fastify is asked for as ^5.12.8: write one exact version'],
  ['node_modules/fastify', { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }, /fastify .* has no SHA-512/],
  ['node_modules/fastify', { resolved: 'https://mirror.example/fastify.tgz' }, /names an address/],
  ['node_modules/fastify', { license: 'GPL-3.0-only' }, /licence GPL-3.0-only, which is not allowed in what is shipped/],
  ['node_modules/fastify', { license: 'MPL-2.0' }, /licence MPL-2.0, which is not allowed in what is shipped/],
  ['node_modules/fastify', { license: '(GPL-3.0-only AND MIT)' }, /not allowed/],
  ['node_modules/fastify', { hasInstallScript: true }, /runs an install script/],
  ['node_modules/a/node_modules/jsonwebtoken', { version: '9.0.0', integrity: `sha512-${'A'.repeat(86)}==`, license: 'MIT' }, /jsonwebtoken 9\.0\.0 is banned/],
] as const)('a fault that is planted in %s is found: %j', (path, change, says) => {
  const found = planted(path, change);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(says);
});

test('of a choice of licences one is enough', () => {
  expect(planted('node_modules/fastify', { license: '(GPL-3.0-only OR MIT)' })).toEqual([]);
});

test('the SBOM names what is shipped, no address and no moment, and is the same each time', () => {
  const sbom = makeSbom(ROOT);
  expect(makeSbom(ROOT)).toBe(sbom);
  const { components } = JSON.parse(sbom) as { components: { name: string }[] };
  const names = components.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['fastify', 'sodium-native', 'pkcs11js']));
  expect(names).not.toContain('vitest');
  // By the lockfile, one by one: also what a package for development needs as well.
  const refs = (JSON.parse(sbom) as { components: { 'bom-ref': string }[] }).components.map((one) => one['bom-ref']);
  expect(refs.toSorted()).toEqual([...shippedRefs(lockfile())].toSorted());
  expect(sbom).not.toMatch(/serialNumber|timestamp|"distribution"/);
});
