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

test('an empty one takes a range from the start over, and goes on behind it', () => {
  const [range, rest] = [createKeyRuns({ isFromStart: true }), createKeyRuns({ isFromStart: false })];
  const told: string[] = [];
  for (let key = 0; key < 3000; key++) told.push(...[range.see(key, kidOf(key), key === 7 ? 2 : 1) ?? []].flat());
  expect(told).toEqual(['has key_seq 2 where its key begins with 1 (core/a/ed25519/7)']);
  range.skip();
  for (let key = 0; key < 3000; key++) rest.see(3000 + key, kidOf(key), key === 9 ? 2 : 5);
  const runs = createKeyRuns({ isFromStart: true });
  const tell = (index: number, what: string): void => { told.push(`${index} ${what}`); };
  runs.absorb(range.pack(), tell);
  // Entries are missing between the two: any number above is right.
  runs.absorb(rest.pack(), tell);
  expect(told).toHaveLength(1);
  expect(runs.see(9000, kidOf(9), 3)).toBeUndefined();
  expect(runs.see(9001, kidOf(10), 5)).toContain('has key_seq 5 after 5');
  expect(runs.see(9002, kidOf(4000), 1)).toBeUndefined();
});

test('what follows a range without a gap goes on with its numbers', () => {
  const range = createKeyRuns({ isFromStart: true });
  range.see(0, kidOf(1), 1);
  const later = createKeyRuns({ isFromStart: false });
  later.see(1, kidOf(1), 3);
  later.see(2, kidOf(2), 2);
  const runs = createKeyRuns({ isFromStart: true });
  const told: string[] = [];
  for (const part of [range, later]) runs.absorb(part.pack(), (index, what) => told.push(`${index} ${what}`));
  expect(told).toEqual(['1 has key_seq 3 after 1 (core/a/ed25519/1)', '2 has key_seq 2 where its key begins with 1 (core/a/ed25519/2)']);
});

test('entries that are missing before a range excuse the keys that it begins with', () => {
  const range = createKeyRuns({ isFromStart: false });
  range.see(10, kidOf(1), 4);
  const runs = createKeyRuns({ isFromStart: true });
  runs.skip();
  const told: string[] = [];
  runs.absorb(range.pack(), (index, what) => told.push(`${index} ${what}`));
  expect(told).toEqual([]);
  expect(runs.see(11, kidOf(1), 6)).toContain('has key_seq 6 after 4');
});
