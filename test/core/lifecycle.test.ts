import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Life, Transition, VersionState } from '../../src/core/key/lifecycle.ts';
import { canUse, canVerify, step } from '../../src/core/key/lifecycle.ts';

const AT = 1_900_000_000_000;
const scheduled = (restoreTo: 'enabled' | 'disabled'): Life => ({ state: 'scheduled', destroyAtMs: AT, restoreTo });

/** Every life there is, and every step: what stands under `-` is refused. */
const lives = {
  enabled: { state: 'enabled' },
  disabled: { state: 'disabled' },
  'scheduled (was enabled)': scheduled('enabled'),
  'scheduled (was disabled)': scheduled('disabled'),
  destroyed: { state: 'destroyed' },
} as const satisfies Record<string, Life>;

type LifeName = keyof typeof lives;

const table: Readonly<Record<LifeName, Readonly<Record<Transition, LifeName | '-'>>>> = {
  enabled: { disable: 'disabled', enable: 'enabled', destroy: 'scheduled (was enabled)', restore: '-', erase: '-' },
  disabled: { disable: 'disabled', enable: 'enabled', destroy: 'scheduled (was disabled)', restore: '-', erase: '-' },
  'scheduled (was enabled)': { disable: '-', enable: '-', destroy: '-', restore: 'enabled', erase: 'destroyed' },
  'scheduled (was disabled)': { disable: '-', enable: '-', destroy: '-', restore: 'disabled', erase: 'destroyed' },
  destroyed: { disable: '-', enable: '-', destroy: '-', restore: '-', erase: '-' },
};

const rows = Object.entries(table).flatMap(([from, steps]) =>
  Object.entries(steps).map(([transition, to]) => ({ from: from as LifeName, transition: transition as Transition, to })));

describe('the life of a key version', () => {
  test.each(rows)('$from, then $transition: $to', ({ from, transition, to }) => {
    expect(step(lives[from], transition, AT)).toEqual(to === '-' ? undefined : lives[to]);
  });

  test.each([
    ['enabled', true, true],
    ['disabled', false, false],
    ['scheduled', false, true],
    ['destroyed', false, true],
  ] as const)('%s: signs, wraps and unwraps %s, verifies %s', (state: VersionState, use, verify) => {
    expect([canUse(state), canVerify(state)]).toEqual([use, verify]);
  });

  test('whatever is done to it, nothing leads out of destroyed, nothing is destroyed that was not scheduled, and a restore lifts no hold', () => {
    const transitions = fc.array(fc.constantFrom<Transition>('disable', 'enable', 'destroy', 'restore', 'erase'), { maxLength: 30 });
    fc.assert(fc.property(transitions, (done) => {
      let life: Life = lives.enabled;
      let before: VersionState = 'enabled';
      for (const transition of done) {
        const next = step(life, transition, AT);
        if (life.state === 'destroyed') expect(next).toBeUndefined();
        if (next?.state === 'destroyed') expect(life.state).toBe('scheduled');
        if (transition === 'restore' && next !== undefined) expect(next.state).toBe(before);
        if (transition === 'destroy' && next !== undefined) before = life.state;
        expect(next?.destroyAtMs === undefined).toBe(next?.state !== 'scheduled');
        life = next ?? life;
      }
    }));
  });

  test('a restore is for what is scheduled and says what it was; whatever else a record says, nothing is restored', () => {
    expect(step({ state: 'scheduled' }, 'restore')).toBeUndefined();
    for (const state of ['enabled', 'disabled', 'destroyed'] as const) expect(step({ state, restoreTo: 'enabled' }, 'restore')).toBeUndefined();
  });
});
