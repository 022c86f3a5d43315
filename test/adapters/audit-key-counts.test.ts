import { expect, test } from 'vitest';
import { createKeyCounts } from '../../src/adapters/audit-log/key-counts.ts';

test('no count is lost, however often there has to be more room', () => {
  const counts = createKeyCounts();
  const bases = Array.from({ length: 20_000 }, (_, i) => `core/a/ed25519/${i}`);
  bases.forEach((base, i) => counts.set(base, i + 1));
  expect(bases.filter((base, i) => counts.get(base) !== i + 1)).toEqual([]);
  expect([...counts.entries()]).toEqual(bases.map((base, i) => [base, i + 1]));
});
