import { describe, expect, test } from 'vitest';
import { parseEnvelope } from '../../src/core/envelope/envelope.ts';
import { KmsError } from '../../src/core/errors.ts';
import { parseKid } from '../../src/core/key/kid.ts';
import { makeSealer } from '../../src/service/sealer.ts';
import { makeWrap } from '../../src/service/wrap.ts';
import { clientCall } from '../harness/caller.ts';
import { keyRecord, subjectOf } from '../harness/key-record.ts';

const BASE = 'core/keep/aes-256-gcm/01890000-0000-7000-8000-000000000001';
const [FIRST, SECOND] = [subjectOf(keyRecord(BASE, {})), subjectOf(keyRecord(BASE, {}, {}))];

/** Version 1 has no nonces left where the test says so; a step fails where it says so. */
function open({ fails, isSpent = false }: { readonly fails?: 'seal' | 'usable' | 'log'; readonly isSpent?: boolean } = {}) {
  const seen = { entered: [] as string[], named: [] as boolean[], sealed: [] as Buffer[], given: [] as Buffer[] };
  const may = (step: typeof fails): void => {
    if (fails === step) throw new KmsError('StoreUnavailable');
  };
  const wrap = makeWrap({
    authorise: { version: async () => FIRST } as never,
    decide: (async () => ({ quotas: { rps: 5 } })) as never,
    rules: { requireUsable: () => undefined, requirePolicy: () => undefined, requireStillUsable: async () => may('usable') } as never,
    limits: {
      quotas: { enter: (_call, tenant, { rps }) => { seen.entered.push(`${tenant} ${rps}`); }, takeKey: () => undefined },
      signing: { run: async (_tenant: string, work: () => Promise<unknown>) => work(), depth: () => 0 } as never,
    },
    target: {
      async renewSpent(_call, subject, isVersionNamed) {
        seen.named.push(isVersionNamed);
        return isSpent ? SECOND : subject;
      },
      sealer: { async seal({ version }, plaintext) {
        seen.given.push(plaintext);
        seen.sealed.push(Buffer.from(plaintext));
        may('seal');
        return Buffer.from(version.kid);
      } },
    },
    journal: { audit: { append: async () => {
      may('log');
      return { firstIndex: 4 };
    } } as never, random: { bytes: (count: number) => Buffer.alloc(count, 9) } as never },
  });
  const request = { plaintext: { generateBytes: 32 }, returnPlaintext: true, aad: Buffer.alloc(0), kemMode: undefined, nonce: undefined };
  return { seen, wrap: (kid: string, more: Partial<Parameters<typeof wrap>[1]> = {}) => wrap(clientCall('wrap'), { ...request, kid: parseKid(kid) ?? expect.unreachable('it is a kid'), ...more }) };
}

const MADE = Buffer.alloc(32, 9);
const ZEROS = Buffer.alloc(32);

describe('a wrap', () => {
  test('seals a fresh key, and gives it to who asks for it: a copy, and what was sealed is zeros', async () => {
    const { seen, wrap } = open();
    expect(await wrap(BASE)).toEqual({ kid: `${BASE}#v1`, alg: 'aes-256-gcm', wrapped: Buffer.from(`${BASE}#v1`), plaintext: MADE, audit: { index: 4, opId: 'op' } });
    expect([seen.sealed, seen.given]).toEqual([[MADE], [ZEROS]]);
    expect(await wrap(BASE, { returnPlaintext: false })).not.toHaveProperty('plaintext');
  });

  test('seals the one that it is given, and never gives it back', async () => {
    const { seen, wrap } = open();
    expect(await wrap(BASE, { plaintext: { given: Buffer.alloc(16, 3) } })).not.toHaveProperty('plaintext');
    expect([seen.sealed, seen.given]).toEqual([[Buffer.alloc(16, 3)], [Buffer.alloc(16)]]);
  });

  test.each(['seal', 'usable', 'log'] as const)('that fails, for %s, leaves zeros behind it', async (fails) => {
    const { seen, wrap } = open({ fails });
    await expect(wrap(BASE)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(seen.given).toEqual([ZEROS]);
  });

  test('counts for its tenant', async () => {
    const { seen, wrap } = open();
    await wrap(BASE);
    expect(seen.entered).toEqual(['core 5']);
  });

  test('goes on with a new version where the one meant has no nonces left, which a caller that names it does not get', async () => {
    const { seen, wrap } = open({ isSpent: true });
    expect((await wrap(BASE)).kid).toBe(`${BASE}#v2`);
    await wrap(`${BASE}#v1`);
    expect(seen.named).toEqual([false, true]);
  });
});

/** A sealer whose store answers with these, one after the other. */
function sealing(answers: readonly (bigint | 'reserve' | undefined)[]) {
  const asked: (bigint | undefined | string)[] = [];
  const left = [...answers];
  const sealer = makeSealer({
    store: { async takeNonce(_kid: string, wanted: bigint | undefined) {
      asked.push(wanted);
      return left.shift();
    } } as never,
    reserveNonces: async (_subject, wanted) => { asked.push(`reserve ${wanted}`); },
    custody: { sealAead: async (_version: unknown, _aead: unknown, _iv: Buffer, _aad: Buffer, plaintext: Buffer) => Buffer.concat([plaintext, Buffer.alloc(16)]) } as never,
    publicKeys: {} as never, kemAead: () => expect.unreachable('no KEM is asked for'),
  });
  return { asked, seal: (nonce?: Buffer) => sealer.seal(FIRST, Buffer.alloc(32), Buffer.alloc(0), nonce) };
}
const nonce = (last: number): Buffer => Buffer.alloc(12).fill(last, 11);

describe('a nonce', () => {
  test('is the next of the counter, in 12 bytes; more are set aside before one is used', async () => {
    const { asked, seal } = sealing(['reserve', 258n]);
    expect(parseEnvelope(await seal()).enc).toEqual(Buffer.from('000000000000000000000102', 'hex'));
    expect(asked).toEqual([undefined, 'reserve undefined', undefined]);
  });

  test('that the caller names is that one, or none', async () => {
    const { asked, seal } = sealing(['reserve', 7n, undefined]);
    expect(parseEnvelope(await seal(nonce(7))).enc).toEqual(nonce(7));
    await expect(seal(nonce(7))).rejects.toMatchObject({ code: 'NonceReuse', hint: 'leave nonce_b64 out to get the next one' });
    expect(asked).toEqual([7n, 'reserve 7', 7n, 7n]);
  });
});
