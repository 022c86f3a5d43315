import { describe, expect, test } from 'vitest';
import type { SignatureScheme } from '../../src/core/algorithm/table.ts';
import { algNames, satisfiesPostQuantum, specsOf } from '../../src/core/algorithm/table.ts';
import { isLooser, isSatisfied, verifyModes } from '../../src/core/bundle/modes.ts';

const keys = algNames.flatMap((alg) => specsOf(alg).flatMap((spec) => (spec.kind === 'signature' ? [{ name: `${alg} of ${spec.schemes.map(({ name }) => name).join(' and ')}`, spec, schemes: spec.schemes }] : [])));
const withPq = keys.filter(({ spec }) => satisfiesPostQuantum(spec));

function subsetsOf(schemes: readonly SignatureScheme[]): readonly ReadonlySet<SignatureScheme>[] {
  return schemes.reduce<readonly (readonly SignatureScheme[])[]>((subsets, scheme) => subsets.flatMap((subset) => [subset, [...subset, scheme]]), [[]]).map((subset) => new Set(subset));
}

describe('verify modes', () => {
  test('8 kinds of keys sign, 7 of them with a post-quantum part', () => {
    expect([keys.length, withPq.length]).toEqual([8, 7]);
  });

  test.each(withPq)('$name: whatever satisfies a mode satisfies every looser one', ({ schemes }) => {
    for (const valid of subsetsOf(schemes)) {
      const satisfied = verifyModes.map((mode) => isSatisfied(mode, schemes, valid));
      // Loosest first: once a mode is not satisfied, no stricter one is.
      expect(satisfied).toEqual(satisfied.map((_, i) => satisfied.slice(0, i + 1).every(Boolean)));
    }
  });

  test.each(keys)('$name: no valid signature satisfies no mode, all of them satisfy `and` and `or`', ({ spec, schemes }) => {
    expect(verifyModes.map((mode) => isSatisfied(mode, schemes, new Set()))).toEqual([false, false, false]);
    expect(verifyModes.map((mode) => isSatisfied(mode, schemes, new Set(schemes)))).toEqual([true, satisfiesPostQuantum(spec), true]);
  });

  test.each(keys.filter(({ schemes }) => schemes.length === 2))('$name: Ed25519 alone is enough for `or` only, ML-DSA alone for `pq_only` too', ({ schemes }) => {
    const verdictsOf = (isPq: boolean) => verifyModes.map((mode) => isSatisfied(mode, schemes, new Set(schemes.filter(({ postQuantum }) => postQuantum === isPq))));
    expect(verdictsOf(false)).toEqual([true, false, false]);
    expect(verdictsOf(true)).toEqual([true, true, false]);
  });

  test('stand in one order: `or`, `pq_only`, `and`', () => {
    expect(verifyModes).toEqual(['or', 'pq_only', 'and']);
    expect(verifyModes.map((a) => verifyModes.map((b) => isLooser(a, b)))).toEqual([[false, true, true], [false, false, true], [false, false, false]]);
  });
});
