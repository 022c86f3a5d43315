import { describe, expect, test } from 'vitest';
import { encodeEnvelope, envelopeHeader } from '../../src/core/envelope/envelope.ts';
import { KmsError } from '../../src/core/errors.ts';
import { parseKid } from '../../src/core/key/kid.ts';
import { makeRewrap, makeUnwrap } from '../../src/service/unwrap.ts';
import { clientCall } from '../harness/caller.ts';
import { keyRecord, subjectOf } from '../harness/key-record.ts';

const BASE = 'core/keep/aes-256-gcm/01890000-0000-7000-8000-000000000001';
const subject = subjectOf(keyRecord(BASE, {}));
const aead = subject.spec.kind === 'aead' ? subject.spec.aead : expect.unreachable('it is an AEAD');
const wrapped = encodeEnvelope(envelopeHeader(`${BASE}#v1`, undefined, aead), Buffer.alloc(12), Buffer.alloc(48));

/** Custody gives this key; what comes behind it fails where the test says. */
function open(fails?: 'state' | 'usable' | 'log' | 'seal' | 'custody') {
  const plaintext = Buffer.alloc(32, 7);
  const asked: string[] = [];
  const failing = (where: typeof fails) => async (): Promise<never> => {
    asked.push(where ?? '');
    if (fails === where) throw new KmsError(where === 'log' ? 'AuditUnavailable' : 'KeyState');
    return { firstIndex: 3 } as never;
  };
  const deps = {
    authorise: { version: async () => subject, current: () => subject } as never,
    decide: (async () => ({ quotas: {} })) as never,
    rules: {
      requireUsable: () => undefined, requirePolicy: () => undefined, requireStillUsable: failing('usable'),
      requireState: () => {
        if (fails === 'state') throw new KmsError('KeyState');
      },
    } as never,
    limits: { quotas: { enter: () => undefined } as never, signing: { run: async (_tenant: string, work: () => Promise<unknown>) => work(), depth: () => 0 } as never },
    custody: { open: async () => {
      asked.push('custody');
      return fails === 'custody' ? undefined : plaintext;
    } } as never,
    audit: { append: failing('log') } as never,
  };
  const request = { wrapped, kid: undefined, aad: Buffer.alloc(0) };
  return {
    plaintext, asked,
    unwrap: (kid?: string) => makeUnwrap(deps)(clientCall('unwrap'), { ...request, kid: kid === undefined ? undefined : parseKid(kid) }),
    rewrap: () => makeRewrap({ ...deps, target: { sealer: { seal: async (_to, given) => {
      await failing('seal')();
      return Buffer.from(given);
    } }, renewSpent: async () => subject } })(clientCall('rewrap'), request),
  };
}

const ZEROS = Buffer.alloc(32);

describe('a plaintext that was opened', () => {
  test('is the caller\'s once its entry is written', async () => {
    const { plaintext, unwrap, asked } = open();
    expect(await unwrap()).toEqual({ kid: `${BASE}#v1`, alg: 'aes-256-gcm', plaintext, audit: { index: 3, opId: 'op' } });
    expect(plaintext).toEqual(Buffer.alloc(32, 7));
    expect(asked).toEqual(['custody', 'usable', 'log']);
  });

  test.each(['usable', 'log'] as const)('and is not given, for %s, is zeros', async (where) => {
    const { plaintext, unwrap } = open(where);
    await expect(unwrap()).rejects.toThrow(KmsError);
    expect(plaintext).toEqual(ZEROS);
  });

  test.each([undefined, 'seal', 'usable', 'log'] as const)('to be sealed again is zeros behind it, however that ends: %s', async (where) => {
    const { plaintext, rewrap } = open(where);
    if (where === undefined) expect((await rewrap()).wrapped).toEqual(Buffer.alloc(32, 7));
    else await expect(rewrap()).rejects.toThrow(KmsError);
    expect(plaintext).toEqual(ZEROS);
  });
});

test('a version that may not be used opens nothing', async () => {
  for (const how of ['unwrap', 'rewrap'] as const) {
    const house = open('state');
    await expect(house[how]()).rejects.toMatchObject({ code: 'KeyState' });
    expect(house.asked).toEqual([]);
  }
});

test('what does not open, and what the caller takes for another key\'s, is the same refusal', async () => {
  await expect(open('custody').unwrap()).rejects.toMatchObject({ code: 'UnwrapFailed' });
  for (const kid of [BASE, `${BASE}#v1`]) expect((await open().unwrap(kid)).kid).toBe(`${BASE}#v1`);
  for (const kid of [`${BASE}#v2`, BASE.replace('0001', '0002')]) {
    const { unwrap, asked } = open();
    await expect(unwrap(kid)).rejects.toMatchObject({ code: 'UnwrapFailed' });
    expect(asked).toEqual([]);
  }
});
