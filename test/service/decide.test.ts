import type { PolicyQuestion } from '../../src/ports/policy.ts';
import { describe, expect, test } from 'vitest';
import { KmsError } from '../../src/core/errors.ts';
import { ownCall } from '../../src/service/call.ts';
import { makeDecide } from '../../src/service/decide.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { clientCall } from '../harness/caller.ts';
import { keyRecord, subjectOf } from '../harness/key-record.ts';

const BASE = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';
const KEY = { ...keyRecord(BASE, {}, {}), labels: { team: 'red' }, policyHints: { risk: 1 } };
const SUBJECT = subjectOf(KEY);
const ANSWER = { isAllowed: true, mode: 'and', classicalOk: true, produceHybrid: true, isEvidenceRequired: false, isEvidenceOffered: true, quotas: {}, decisionId: 'd1' } as const;
const OWN = { ...ANSWER, mode: 'or', decisionId: undefined } as const;

function open(answer: () => typeof ANSWER | (Omit<typeof ANSWER, 'isAllowed'> & { isAllowed: false })) {
  const asked: PolicyQuestion[] = [];
  const decide = makeDecide({
    async decide(question) {
      asked.push(question);
      return answer();
    },
    own: () => OWN as never,
  });
  return { asked, decide };
}

describe('the policy is asked', () => {
  test('about the version that a call is about, by whom and from where; its answer is the call\'s', async () => {
    const { asked, decide } = open(() => ANSWER);
    const call = { ...clientCall('sign'), subject: SUBJECT };
    expect(await decide(call, KEY, { mode: 'or' })).toEqual(ANSWER);
    expect(asked).toEqual([{ op: 'sign', tenant: 'core', purpose: 'audit', alg: 'ed25519', labels: { team: 'red' }, policyHints: { risk: 1 }, requested: { mode: 'or' }, corrId: 'corr', kid: `${BASE}#v2`, clientId: 'me', peer: '127.0.0.1' }]);
    expect(call.policy).toEqual(ANSWER);
  });

  test('about a key as a whole where the call is about another, or about none yet; about no kid where there is no key', async () => {
    const { asked, decide } = open(() => ANSWER);
    const another = { ...KEY, base: BASE.replace('0001', '0002') };
    await decide({ ...clientCall('sign'), subject: SUBJECT }, another);
    await decide(clientCall('sign'), KEY);
    const { base: _, ...toBeMade } = KEY;
    await decide(clientCall('create'), toBeMade);
    expect(asked.map(({ kid }) => kid)).toEqual([another.base, BASE, undefined]);
  });

  test('by the service itself too, which has no name and no address', async () => {
    const { asked, decide } = open(() => ANSWER);
    await decide(ownCall('rotate', { clock: systemClock, random: createSystemRandom() }, SUBJECT), KEY);
    expect(asked[0]).toMatchObject({ op: 'rotate', kid: `${BASE}#v2`, clientId: undefined, peer: undefined, requested: {} });
  });
});

describe('a no', () => {
  test('ends the call, and its entry can tell which decision it was', async () => {
    const { decide } = open(() => ({ ...ANSWER, isAllowed: false }));
    for (const ask of [decide, decide.orOwn]) {
      const call = clientCall('verify');
      await expect(ask(call, KEY, {})).rejects.toMatchObject({ code: 'PolicyDenied', hint: 'the policy service said no; the entry in the log has its decision_id' });
      expect(call.policy?.decisionId).toBe('d1');
    }
  });
});

describe('when nobody can be asked', () => {
  test('what may go on goes by the operator\'s own rules, and says so; nothing else goes on', async () => {
    const { decide } = open(() => { throw new KmsError('PolicyUnavailable'); });
    const call = clientCall('verify');
    expect(await decide.orOwn(call, KEY, {})).toEqual({ ...OWN, isDegraded: true });
    expect(call.policy).toEqual(OWN);
    await expect(decide(clientCall('sign'), KEY)).rejects.toMatchObject({ code: 'PolicyUnavailable' });
    expect(await open(() => ANSWER).decide.orOwn(clientCall('verify'), KEY, {})).toMatchObject({ isDegraded: false, mode: 'and' });
  });

  test('but a fault of another kind is a fault', async () => {
    for (const fault of [new KmsError('Backpressure'), new Error('a bug')]) await expect(open(() => { throw fault; }).decide.orOwn(clientCall('verify'), KEY, {})).rejects.toBe(fault);
  });
});
