import type { VersionState } from '../../src/core/key/lifecycle.ts';
import type { KeyRecord } from '../../src/core/key/record.ts';
import type { VerifyRequest } from '../../src/service/verify.ts';
import { describe, expect, test } from 'vitest';
import { parseKid } from '../../src/core/key/kid.ts';
import { createWorkQueue } from '../../src/service/work-queue.ts';
import { makeRecordVerify, makeVerify } from '../../src/service/verify.ts';
import { clientCall } from '../harness/caller.ts';
import { keyRecord } from '../harness/key-record.ts';

const ID = '01890000-0000-7000-8000-00000000000';
const BYTES = Buffer.alloc(64);
const PAYLOAD = { digestHex: 'ab'.repeat(32) };

/** A key whose versions are in these states, each with a public part of its own. */
const keyOf = (base: string, ...states: readonly VersionState[]): KeyRecord => keyRecord(base, ...states.map((state) => ({ state, publicParts: [{ alg: 'ed25519', bytes: Buffer.alloc(32) }] })));

interface House {
  readonly keys: readonly KeyRecord[];
  /** The kids whose public keys take the signature. */
  readonly right?: readonly string[];
  readonly degraded?: readonly string[];
  readonly outForMs?: number;
  readonly isWhole?: boolean;
}

function open({ keys, right = [], degraded = [], outForMs, isWhole = true }: House) {
  const seen = { entered: [] as string[], logged: [] as object[], checked: 0 };
  const verify = makeVerify({
    authorise: { versions: async (_caller: unknown, _scope: unknown, kid: { base: string }) => {
      const key = keys.find(({ base }) => base === kid.base) ?? expect.unreachable('there is such a key');
      return { key, versions: key.versions.toReversed() };
    } } as never,
    decisions: {
      decide: { orOwn: async (_call: unknown, { base }: KeyRecord) => ({ mode: 'or', isAllowed: true, quotas: {}, isDegraded: degraded.includes(base) }) } as never,
      rules: { requireAllowed: () => undefined, requirePolicy: () => undefined } as never,
    },
    limits: {
      quotas: { enter: (_call, tenant) => { seen.entered.push(tenant); }, takeKey: () => undefined },
      verifying: createWorkQueue({ width: 8, rushWidth: 8, max: () => 64, full: {}, clock: { monotonicNs: () => 0n } }),
    },
    publicKeys: { verify: async (_scheme: unknown, part: object) => {
      seen.checked++;
      return keys.some(({ versions }) => versions.some(({ kid, publicParts }) => publicParts.includes(part as never) && right.includes(kid)));
    } } as never,
    knownKeys: { outForMs: () => outForMs, ttlMs: () => 1000 },
    record: async (call, { result }) => { seen.logged.push({ kid: call.subject?.version.kid, result }); },
    integrity: { isWhole: () => isWhole },
  });
  const request: VerifyRequest = {
    kids: keys.map(({ base }) => parseKid(base) ?? expect.unreachable('it is a kid')), payload: PAYLOAD,
    signatures: [{ alg: 'ed25519', parameterSet: undefined, bytes: BYTES }], context: undefined, mode: undefined,
  };
  return { seen, verify: (more: Partial<VerifyRequest> = {}) => verify(clientCall('verify'), { ...request, ...more }) };
}

const [one, other] = [keyOf(`core/audit/ed25519/${ID}1`, 'enabled'), keyOf(`blue/audit/ed25519/${ID}2`, 'enabled')];

describe('what is known of keys while their backend is out', () => {
  test('serves as long as it may, and the answer says how old it is; then no more', async () => {
    const right = [`${one.base}#v1`];
    expect(await open({ keys: [one], right }).verify()).not.toHaveProperty('cacheAgeMs');
    for (const outForMs of [0, 1000]) expect(await open({ keys: [one], right, outForMs }).verify()).toMatchObject({ ok: true, cacheAgeMs: outForMs });
    const late = open({ keys: [one], right, outForMs: 1001 });
    await expect(late.verify()).rejects.toMatchObject({ code: 'StoreUnavailable', hint: 'the backend that holds the keys is out for longer than audit.verify_cache_ttl_ms' });
    expect(late.seen).toEqual({ entered: [], logged: [], checked: 0 });
  });
});

describe('an answer is only as good as what it was made by', () => {
  test.each([
    ['all is well', {}, false], ['log or store are at odds', { isWhole: false }, true],
    ['the policy could not be asked about one of two', { degraded: [other.base] }, true], ['nor about the first', { degraded: [one.base] }, true],
  ] as const)('%s', async (_, house, isDegraded) => {
    expect((await open({ keys: [one, other], right: [`${one.base}#v1`], ...house }).verify()).isDegraded).toBe(isDegraded);
  });
});

describe('of several keys and versions', () => {
  test('the newest that takes it is the one that the entry names; older ones are looked at only if it does not', async () => {
    const key = keyOf(`core/audit/ed25519/${ID}3`, 'enabled', 'enabled', 'enabled');
    for (const [right, named, checked] of [[['#v3', '#v1'], '#v3', 1], [['#v2'], '#v2', 2], [['#v1'], '#v1', 3]] as const) {
      const { seen, verify } = open({ keys: [key], right: right.map((version) => key.base + version) });
      expect((await verify()).checked.at(-1)).toEqual({ alg: 'ed25519', kid: key.base + named, ok: true });
      expect(seen).toMatchObject({ logged: [{ kid: key.base + named, result: 'ok' }], checked });
    }
  });

  test('none that takes it is a wrong signature, told of the newest of the first', async () => {
    const { seen, verify } = open({ keys: [one, other] });
    expect(await verify()).toMatchObject({ ok: false, checked: [{ kid: `${one.base}#v1`, ok: false }, { kid: `${other.base}#v1`, ok: false }] });
    expect(seen.logged).toEqual([{ kid: `${one.base}#v1`, result: 'invalid' }]);
  });

  test('it is one operation of each tenant', async () => {
    const again = keyOf(`core/audit/ed25519/${ID}4`, 'enabled');
    const { seen, verify } = open({ keys: [one, other, again] });
    await verify();
    expect(seen.entered).toEqual(['core', 'blue']);
  });

  test('versions that verify no more are passed over, at most 64 are looked at, and where none is left that is said', async () => {
    const many = keyOf(`core/audit/ed25519/${ID}5`, ...Array.from({ length: 70 }, () => 'enabled' as const), 'disabled');
    const { seen, verify } = open({ keys: [many] });
    expect((await verify()).ok).toBe(false);
    expect(seen).toMatchObject({ checked: 64, logged: [{ kid: `${many.base}#v70`, result: 'invalid' }] });
    const none = keyOf(`core/audit/ed25519/${ID}6`, 'disabled');
    await expect(open({ keys: [none] }).verify()).rejects.toMatchObject({ code: 'KeyState', hint: 'no version of this key may verify' });
  });
});

describe('what cannot fit', () => {
  test('is the caller\'s mistake: an algorithm of no key, a context for a scheme without one, a key that does not sign', async () => {
    const { verify, seen } = open({ keys: [one, other] });
    const named = { alg: 'ml-dsa', parameterSet: undefined, bytes: BYTES };
    await expect(verify({ signatures: [named] })).rejects.toMatchObject({ code: 'Unsupported', hint: 'the key has no such alg or parameter_set' });
    await expect(verify({ signatures: [{ ...named, alg: 'ed25519', parameterSet: 'ML-DSA-44' }] })).rejects.toMatchObject({ code: 'Unsupported' });
    await expect(verify({ context: Buffer.of(1) })).rejects.toMatchObject({ code: 'Unsupported', hint: 'context_b64 is for ml-dsa and the composite only' });
    await expect(open({ keys: [{ ...one, alg: 'x25519' }] }).verify()).rejects.toMatchObject({ code: 'Unsupported', hint: 'this key does not sign' });
    expect(seen).toEqual({ entered: [], logged: [], checked: 0 });
  });
});

test('a verify that the log does not take is answered all the same, and told', async () => {
  const told: unknown[] = [];
  const record = makeRecordVerify({ append: () => Promise.reject(new Error('full')) } as never, { event: (...words: unknown[]) => { told.push(words); } } as never);
  await record(clientCall('verify'), { inputHash: '', result: 'ok' });
  expect(told).toEqual([['warn', 'verify_not_logged', { op_id: 'op' }]]);
});
