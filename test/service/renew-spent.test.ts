import type { ClientCall, Subject } from '../../src/service/call.ts';
import { describe, expect, test } from 'vitest';
import { parseKid } from '../../src/core/key/kid.ts';
import { makeRenewSpent } from '../../src/service/renew-spent.ts';
import { clientCall } from '../harness/caller.ts';
import { keyRecord, subjectOf } from '../harness/key-record.ts';

const BASE = 'core/keep/aes-256-gcm/01890000-0000-7000-8000-000000000001';
const keyWith = (versions: number, base = BASE) => keyRecord(base, ...Array.from({ length: versions }, () => ({})));

/** A key whose versions up to a number have no nonces left; a rotation makes the next, when the test lets it. */
function open({ versions = 2, spentTo = 2 } = {}) {
  let key = keyWith(versions);
  const state = { spentTo, rotated: 0, ends: Promise.resolve() };
  const renewSpent = makeRenewSpent({
    store: { isSpent: async (kid) => Number(kid.split('#v')[1]) <= state.spentTo, find: async () => key },
    authorise: { current: (_call, record) => subjectOf(record) },
    own: { async rotate() {
      state.rotated++;
      await state.ends;
      key = keyWith(key.versions.length + 1);
    } },
  });
  return { state, renew: async (isNamed = false, ...kids: readonly string[]) => (await renewSpent(callFor(...kids), subjectOf(key), isNamed)).version.version, renewOf: (subject: Subject) => renewSpent(callFor(), subject, false) };
}

function callFor(...kids: readonly string[]): ClientCall {
  return clientCall('wrap', { kids: kids.map((kid) => parseKid(kid) ?? expect.unreachable('it is a kid')) });
}

describe('a version without nonces', () => {
  test('gives way to a new one, which those who come at once share', async () => {
    const { state, renew } = open();
    const held = Promise.withResolvers<void>();
    state.ends = held.promise;
    const all = Promise.all([renew(), renew(), renew()]);
    await expect.poll(() => state.rotated).toBe(1);
    held.resolve();
    expect([await all, state.rotated]).toEqual([[3, 3, 3], 1]);
  });

  test('and once that one is used up, to the next', async () => {
    const { state, renew } = open();
    expect(await renew()).toBe(3);
    state.spentTo = 3;
    expect([await renew(), state.rotated]).toEqual([4, 2]);
  });

  test('makes none where somebody else has made one meanwhile', async () => {
    const { state, renewOf } = open({ versions: 3, spentTo: 2 });
    expect([(await renewOf(subjectOf(keyWith(2)))).version.version, state.rotated]).toEqual([3, 0]);
  });

  test('is refused where the caller named it, or may not use the next', async () => {
    const { state, renew } = open();
    for (const asked of [renew(true), renew(false, `${BASE}#v2`), renew(false, `${BASE}#v1`)]) {
      await expect(asked).rejects.toMatchObject({ code: 'KeyState', hint: 'this version has no nonces left, as after a restore: it only unwraps. Wrap with the key as a whole, which makes a new version' });
    }
    expect(state.rotated).toBe(0);
    expect(await renew(false, BASE)).toBe(3);
    expect(await open().renew(false, `${BASE}#v3`)).toBe(3);
  });
});

test('one that has nonces, or needs none, is used as it is', async () => {
  const { state, renew } = open({ spentTo: 1 });
  expect([await renew(), await renew(true), state.rotated]).toEqual([2, 2, 0]);
  const subject = subjectOf(keyWith(1, BASE.replace('aes-256-gcm', 'x25519')));
  const { renewOf, state: other } = open();
  expect([await renewOf(subject), other.rotated]).toEqual([subject, 0]);
});
