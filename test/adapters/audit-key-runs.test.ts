import { expect, test } from 'vitest';
import { createKeyRuns } from '../../src/adapters/audit-check/key-runs.ts';

const kidOf = (key: number): string => `core/a/ed25519/${key}#v1`;

test('more keys than there was room for at first are followed, each by itself, over the ranges of several threads', () => {
  const runs = createKeyRuns({ isFromStart: true });
  const later = createKeyRuns({ isFromStart: false });
  for (let key = 0; key < 5000; key++) expect(runs.see(key, kidOf(key), 1)).toBeUndefined();
  for (let key = 0; key < 7000; key++) expect(later.see(5000 + key, kidOf(key), key < 5000 ? 2 : 1)).toBeUndefined();
  const told: string[] = [];
  runs.absorb(later.pack(), (index, what) => told.push(`${index} ${what}`));
  expect(told).toEqual([]);
  for (let key = 0; key < 7000; key++) expect(runs.see(12_000 + key, kidOf(key), key < 5000 ? 3 : 2)).toBeUndefined();
  expect(runs.see(19_000, kidOf(4321), 5)).toContain('has key_seq 5 after 3');
});
