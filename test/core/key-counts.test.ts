import { expect, test } from 'vitest';
import { createKeyCounts } from '../../src/core/key/counts.ts';

test('keys are counted by tenant and algorithm, one at a time or many', () => {
  const counts = createKeyCounts();
  expect([counts.ofTenant('core'), counts.entries(5)]).toEqual([0, []]);
  counts.add('core', 'ed25519');
  counts.add('core', 'ed25519');
  counts.add('core', 'ml-dsa', 5);
  counts.add('edge', 'ed25519', 10);
  expect(['core', 'edge', 'other'].map(counts.ofTenant)).toEqual([7, 10, 0]);
  expect(counts.entries(2)).toEqual([[['core', 'ed25519'], 2], [['core', 'ml-dsa'], 5], [['edge', 'ed25519'], 10]]);
});

test('tenants beyond the most that are named stand together as `other`, and no key is left out', () => {
  const counts = createKeyCounts();
  for (const [i, tenant] of ['a', 'b', 'c', 'd'].entries()) {
    counts.add(tenant, 'ed25519', i + 1);
    if (i > 1) counts.add(tenant, 'x25519', 100);
  }
  expect(counts.entries(1)).toEqual([[['a', 'ed25519'], 1], [['other', 'ed25519'], 9], [['other', 'x25519'], 200]]);
  expect(counts.entries(0)).toEqual([[['other', 'ed25519'], 10], [['other', 'x25519'], 200]]);
});
