import { expect, test } from 'vitest';
import type { KeyRecord, VersionRecord } from '../../src/core/key/record.ts';
import { currentVersion } from '../../src/core/key/record.ts';

const version = (number: number): VersionRecord => ({ version: number, kid: `k#v${number}`, kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'file', publicParts: [] });
const keyOf = (versions: readonly VersionRecord[]): KeyRecord => ({ base: 'k', tenant: 'core', purpose: 'audit', alg: 'ed25519', input: 'b3', labels: {}, createdAtMs: 0, versions });

test('the current version of a key is its newest', () => {
  expect([1, 2, 3].map((count) => currentVersion(keyOf(Array.from({ length: count }, (_, i) => version(i + 1)))).version)).toEqual([1, 2, 3]);
  expect(() => currentVersion(keyOf([]))).toThrow('a key has at least one version');
});
