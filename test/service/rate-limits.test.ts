import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createRateLimits } from '../../src/service/rate-limits.ts';

const SECOND_NS = 1_000_000_000n;

function open(perSecond: () => number) {
  let nowNs = 10n * SECOND_NS;
  const rates = createRateLimits({ clock: { ...systemClock, monotonicNs: () => nowNs }, signPerSecond: perSecond });
  const isTaken = (tenant: string): boolean => {
    try {
      rates.chargeSigning(tenant);
      return true;
    } catch {
      return false;
    }
  };
  return { rates, isTaken, pass: (ms: number) => { nowNs += BigInt(Math.round(ms * 1e6)); } };
}

/** Tenants that each ask so often a second, evenly; gives what each got over the last seconds, and all together in each. */
function run(demands: readonly number[], perSecond: number, seconds = 6): { readonly got: readonly number[]; readonly perSecondMost: number } {
  const { isTaken, pass } = open(() => perSecond);
  const got = demands.map(() => 0);
  const asked = demands.map(() => 0);
  let most = 0;
  for (let second = 0; second < seconds; second++) {
    const before = got.reduce((sum, one) => sum + one, 0);
    for (let ms = 1; ms <= 1000; ms++) {
      pass(1);
      for (const [i, demand] of demands.entries()) {
        for (; (asked[i] as number) < demand * (second + ms / 1000); asked[i] = (asked[i] as number) + 1) if (isTaken(String(i)) && second >= 2) got[i] = (got[i] as number) + 1;
      }
    }
    if (second >= 2) most = Math.max(most, got.reduce((sum, one) => sum + one, 0) - before);
  }
  return { got: got.map((one) => one / (seconds - 2)), perSecondMost: most };
}

describe('the instance\'s signing rate', () => {
  test('is one tenant\'s alone when nobody else is there', () => {
    const { got: [mine = 0] } = run([2000], 500);
    expect(mine).toBeGreaterThan(495);
    expect(mine).toBeLessThan(505);
  });

  test('is shared: who asks for less than an equal part gets it all, whatever the others do', () => {
    const { got: [greedy = 0, modest = 0] } = run([5000, 50], 500);
    expect(modest).toBe(50);
    expect(greedy).toBeGreaterThan(240);
  });

  test('under any demands: nobody under the equal share is refused, and the rate is not passed', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 800 }), { minLength: 1, maxLength: 5 }), (demands) => {
      const { got, perSecondMost } = run(demands, 300, 4);
      // A full second's worth may be there at first.
      expect(perSecondMost).toBeLessThanOrEqual(601);
      for (const [i, demand] of demands.entries()) if (demand <= 300 / demands.length) expect(got[i]).toBeGreaterThan(demand - 1);
    }), { numRuns: 20 });
  });

  test('of those who both want more than there is, none gets much less than half', () => {
    const { got: [one = 0, other = 0] } = run([5000, 1000], 500);
    expect(Math.min(one, other)).toBeGreaterThan(200);
    expect(one + other).toBeLessThan(510);
  });

  test('is one tenant\'s alone again once the others want nothing any more, with what they left', () => {
    const { isTaken, pass } = open(() => 10);
    const count = (tenant: string): number => Array.from({ length: 100 }, () => isTaken(tenant)).filter(Boolean).length;
    isTaken('gone');
    pass(1900);
    // Each has its half by now, and what one does not take the other does not get.
    expect(count('here')).toBe(5);
    pass(100);
    // A tenth of a second's worth, and that half.
    expect(count('here')).toBe(6);
  });

  test('goes to who wants it: what another lets run over while it is silent is not wasted', () => {
    const { isTaken, pass } = open(() => 10);
    isTaken('silent');
    const got: number[] = [];
    for (let tenth = 0; tenth < 19; tenth++) {
      pass(100);
      got.push(Array.from({ length: 10 }, () => isTaken('busy')).filter(Boolean).length);
    }
    // From when the silent one's half is full all of it goes to the busy one: one each tenth of a second.
    expect(got.slice(-8).reduce((sum, one) => sum + one, 0)).toBe(8);
  });

  test('that is used up says whose: the instance\'s, where one is alone, or the tenant\'s share; and when to come again', () => {
    const { rates, isTaken } = open(() => 1);
    isTaken('a');
    expect(() => rates.chargeSigning('a')).toThrow(expect.objectContaining({ code: 'Backpressure', hint: 'security.sign_rate_limit_rps is used up', retryAfterS: 1 }));
    expect(() => rates.chargeSigning('b')).toThrow(expect.objectContaining({ code: 'Backpressure', hint: 'this tenant\'s share of security.sign_rate_limit_rps is used up', retryAfterS: 1 }));
  });

  test('that a reload changes holds from the next signature on, and 0 is no limit', () => {
    let perSecond = 1;
    const { isTaken } = open(() => perSecond);
    expect([isTaken('a'), isTaken('a')]).toEqual([true, false]);
    perSecond = 0;
    expect(Array.from({ length: 1000 }, () => isTaken('a')).every(Boolean)).toBe(true);
  });
});

test('a tenant\'s own rate is its own, and 0 is nothing at all', () => {
  const { rates, pass } = open(() => 0);
  for (let i = 0; i < 3; i++) rates.chargeTenant('a', 3);
  expect(() => rates.chargeTenant('a', 3)).toThrow(expect.objectContaining({ code: 'QuotaExceeded', hint: 'quotas.rps of this tenant is used up', retryAfterS: 1 }));
  rates.chargeTenant('b', 3);
  expect(() => rates.chargeTenant('c', 0)).toThrow('quota');
  // A second's worth, however long nothing was taken.
  pass(3_600_000);
  for (let i = 0; i < 3; i++) rates.chargeTenant('a', 3);
  expect(() => rates.chargeTenant('a', 3)).toThrow('quota');
});

test('a rate that is used up stays so, however many tenants there are, and is there again after its second', () => {
  const { rates, pass } = open(() => 0);
  const isTaken = (tenant: string): boolean => {
    try {
      rates.chargeTenant(tenant, 1);
      return true;
    } catch {
      return false;
    }
  };
  const crowd = Array.from({ length: 3000 }, (_, i) => `t${i}`);
  expect(crowd.filter(isTaken)).toHaveLength(3000);
  expect(crowd.filter(isTaken)).toHaveLength(0);
  pass(999);
  expect(crowd.filter(isTaken)).toHaveLength(0);
  pass(1);
  expect(crowd.filter(isTaken)).toHaveLength(3000);
});
