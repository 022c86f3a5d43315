import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);
const OTHER = '1'.repeat(64);
const token = tokenOf({ caveats: everything('*') });

/** The service as it is without a profile's leniency; each tenant at its own stage of migration. */
const TOML = `
[tenants.loose]
verify_mode = "or"
[tenants.single]
verify_mode = "or"
produce_hybrid = false
[tenants.lenient]
classical_ok = true
[tenants.pq]
verify_mode = "pq_only"
[tenants.pqlenient]
verify_mode = "pq_only"
classical_ok = true
`;

let service: TestService;
beforeAll(async () => { service = await startService({ flags: ['--pq-verify-mode', 'and'], toml: TOML }); });
afterAll(async () => { await service.stop(); });

type Sigs = readonly { alg: string; parameter_set?: string; signature_b64: string }[];
const make = (tenant: string, fields: Record<string, unknown> = {}): Promise<Answer> => call(service, 'POST', '/keys', { tenant, purpose: 'audit', ...fields }, token);
const key = async (tenant: string, fields: Record<string, unknown> = {}): Promise<string> => (await createKey(service, { tenant, ...fields }, token))['kid'];
const sign = (kid: string, more: Record<string, unknown> = {}): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST, ...more }, token);
const sigsOf = async (kid: string, more?: Record<string, unknown>): Promise<Sigs> => (await sign(kid, more)).body['sigs'];
const verify = (kid: string, sigs: Sigs, more: Record<string, unknown> = {}): Promise<Answer> => call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs, ...more }, token);
/** `true`, `false`, or the refusal; a PqPolicy one must say which setting allows it. */
const verdict = ({ status, body }: Answer): unknown => {
  if (status < 300) return body['ok'] ?? true;
  if (body['error'].code === 'PqPolicy') expect(body['error'].hint).toMatch(/pq\.|tenants\.|kem_mode/);
  return `${status} ${body['error'].code}`;
};
const modeOf = async (kid: string, sigs: Sigs, mode: string): Promise<unknown> => verdict(await verify(kid, sigs, { policy: { mode } }));
const only = (sigs: Sigs, alg: string): Sigs => sigs.filter((one) => one.alg === alg);
const spoilt = (sigs: Sigs, alg: string): Sigs => sigs.map((one) => (one.alg === alg ? { ...one, signature_b64: flip(one.signature_b64) } : one));

function flip(text: string): string {
  const bytes = Buffer.from(text, 'base64');
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  return bytes.toString('base64');
}

/** The algorithms that were signed with, or the refusal. */
async function algsOf(kid: string, policy?: object): Promise<unknown> {
  const answer = await sign(kid, policy === undefined ? {} : { policy });
  return answer.status === 200 ? answer.body['sigs'].map(({ alg }: { alg: string }) => alg) : verdict(answer);
}

const PQ_POLICY = '403 PqPolicy';

describe('which keys a tenant may make', () => {
  const classical = ['ed25519', 'x25519'];
  const postQuantum = ['ml-dsa', 'ed25519+ml-dsa', 'mldsa65-ed25519-sha512', 'ml-kem', 'x25519+ml-kem'];
  const symmetric = ['aes-256-gcm', 'chacha20-poly1305'];

  test.each<[string, string, unknown]>([['under and', 'anybody', PQ_POLICY], ['under pq_only', 'pq', PQ_POLICY], ['under or', 'loose', true], ['under and where classical keys are allowed', 'lenient', true], ['under or without hybrid production', 'single', true]])('%s', async (_name, tenant, forClassical) => {
    for (const alg of classical) expect({ alg, is: verdict(await make(tenant, { alg })) }).toEqual({ alg, is: forClassical });
    for (const alg of [...postQuantum, ...symmetric]) expect({ alg, is: verdict(await make(tenant, { alg })) }).toEqual({ alg, is: true });
  });

  test('without a word about it they are hybrid: for signing, and for wrapping where the purpose says so', async () => {
    for (const [purpose, alg] of [['audit', 'ed25519+ml-dsa'], ['kem', 'x25519+ml-kem'], ['kem-x', 'x25519+ml-kem'], ['wrap', 'x25519+ml-kem'], ['wrapped', 'x25519+ml-kem'], ['my-kem', 'ed25519+ml-dsa']]) {
      expect((await make('anybody', { purpose })).body['alg']).toBe(alg);
    }
  });
});

describe('what a hybrid signature proves', () => {
  let kid: string;
  let sigs: Sigs;
  beforeAll(async () => {
    kid = await key('loose');
    sigs = await sigsOf(kid);
  });

  test('both signatures are made, over the same digest', () => {
    expect(sigs.map(({ alg, parameter_set: set }) => [alg, set])).toEqual([['ed25519', undefined], ['ml-dsa', 'ML-DSA-65']]);
  });

  test.each<[string, () => Sigs, readonly [or: boolean, pqOnly: boolean, and: boolean]]>([
    ['both right', () => sigs, [true, true, true]],
    ['both right, in the other order', () => sigs.toReversed(), [true, true, true]],
    ['Ed25519 alone', () => only(sigs, 'ed25519'), [true, false, false]],
    ['ML-DSA alone', () => only(sigs, 'ml-dsa'), [true, true, false]],
    ['ML-DSA wrong', () => spoilt(sigs, 'ml-dsa'), [true, false, false]],
    ['Ed25519 wrong', () => spoilt(sigs, 'ed25519'), [true, true, false]],
    ['both wrong', () => spoilt(spoilt(sigs, 'ed25519'), 'ml-dsa'), [false, false, false]],
    ['Ed25519 empty', () => sigs.map((one) => (one.alg === 'ed25519' ? { ...one, signature_b64: '' } : one)), [true, true, false]],
    ['ML-DSA cut short', () => sigs.map((one) => (one.alg === 'ml-dsa' ? { ...one, signature_b64: Buffer.from(one.signature_b64, 'base64').subarray(1).toString('base64') } : one)), [true, false, false]],
    ['the two exchanged', () => sigs.map((one, i) => ({ ...one, signature_b64: sigs[1 - i]?.signature_b64 ?? '' })), [false, false, false]],
  ])('%s', async (_name, given, [or, pqOnly, and]) => {
    expect([await modeOf(kid, given(), 'or'), await modeOf(kid, given(), 'pq_only'), await modeOf(kid, given(), 'and')]).toEqual([or, pqOnly, and]);
  });

  test('nothing over another digest', async () => {
    expect((await call(service, 'POST', '/verify', { kid, payload_b3: OTHER, sigs }, token)).body['ok']).toBe(false);
  });

  test('details name the mode and every signature that was looked at', async () => {
    const { body } = await verify(kid, spoilt(sigs, 'ml-dsa'), { policy: { mode: 'and' } });
    expect(body).toEqual({ ok: false, details: { mode: 'and', checked: [{ alg: 'ed25519', kid, ok: true }, { alg: 'ml-dsa', kid, ok: false }] } });
  });

  test('a signature that the key cannot have made is Unsupported, not wrong', async () => {
    const [ed, ml] = [only(sigs, 'ed25519')[0], only(sigs, 'ml-dsa')[0]];
    for (const given of [[{ ...ed, alg: 'mldsa65-ed25519-sha512' }], [{ ...ml, parameter_set: 'ML-DSA-44' }], [{ ...ml, parameter_set: 'ML-DSA-66' }], [{ ...ed, parameter_set: 'ML-DSA-65' }], [{ ...ed, alg: 'rsa' }], [...sigs, { ...ed, alg: 'x25519' }]]) {
      expect(verdict(await verify(kid, given as Sigs))).toBe('400 Unsupported');
    }
    expect(verdict(await verify(kid, [{ alg: 'ml-dsa', signature_b64: ml?.signature_b64 ?? '' }]))).toBe(true);
  });

  test('no signatures, a missing or a repeated alg is BadRequest', async () => {
    const [ed] = only(sigs, 'ed25519');
    for (const given of [[], [ed, ed], [ed, { ...ed, signature_b64: '' }], [{ signature_b64: ed?.signature_b64 }]]) {
      expect(verdict(await verify(kid, given as Sigs))).toBe('400 BadRequest');
    }
  });

  test('signatures of two versions never add up', async () => {
    const base = kid.split('#')[0] ?? '';
    await call(service, 'POST', `/keys/${encodeURIComponent(base)}/rotate`, {}, token);
    const newer = await sigsOf(base);
    const mixed = [...only(sigs, 'ed25519'), ...only(newer, 'ml-dsa')];
    for (const by of [base, `${base}#v1`, `${base}#v2`]) expect(await modeOf(by, mixed, 'and')).toBe(false);
    expect(await modeOf(base, mixed, 'or')).toBe(true);
    const second = await key('loose');
    const both = await call(service, 'POST', '/verify', { kid_set: [kid, second], payload_b3: DIGEST, sigs: [...only(sigs, 'ed25519'), ...only(await sigsOf(second), 'ml-dsa')], policy: { mode: 'and' } }, token);
    expect(both.body['ok']).toBe(false);
  });
});

describe('a request may ask for a stricter mode, never a looser one', () => {
  const modes = ['or', 'pq_only', 'and'] as const;
  test.each<[string, (typeof modes)[number]]>([['loose', 'or'], ['pq', 'pq_only'], ['anybody', 'and']])('tenant %s, at %s', async (tenant, own) => {
    const kid = await key(tenant);
    const sigs = await sigsOf(kid);
    expect((await verify(kid, sigs)).body['details'].mode).toBe(own);
    for (const asked of modes) {
      expect({ asked, is: await modeOf(kid, sigs, asked) }).toEqual({ asked, is: modes.indexOf(asked) < modes.indexOf(own) ? PQ_POLICY : true });
    }
  });

  test('a key without a post-quantum part is refused when the request asks for one', async () => {
    const kid = await key('loose', { alg: 'ed25519' });
    const sigs = await sigsOf(kid);
    expect([await modeOf(kid, sigs, 'or'), await modeOf(kid, sigs, 'pq_only'), await modeOf(kid, sigs, 'and')]).toEqual([true, PQ_POLICY, PQ_POLICY]);
  });

  test.each(['ml-dsa', 'mldsa65-ed25519-sha512'])('%s alone satisfies every mode', async (alg) => {
    const kid = await key('loose', { alg });
    const sigs = await sigsOf(kid);
    expect(sigs).toHaveLength(1);
    for (const mode of modes) expect(await modeOf(kid, sigs, mode)).toBe(true);
    for (const mode of modes) expect(await modeOf(kid, spoilt(sigs, alg), mode)).toBe(false);
  });
});

describe('hybrid production', () => {
  test('is the tenant\'s to turn off, a request\'s to raise', async () => {
    const kid = await key('single');
    expect(await algsOf(kid)).toEqual(['ed25519']);
    expect(await algsOf(kid, { produce_hybrid: false })).toEqual(['ed25519']);
    expect(await algsOf(kid, { produce_hybrid: true })).toEqual(['ed25519', 'ml-dsa']);
    expect(await algsOf(kid, {})).toEqual(['ed25519']);
  });

  test.each(['loose', 'anybody', 'pq'])('cannot be lowered by a request of tenant %s', async (tenant) => {
    const kid = await key(tenant);
    expect(await algsOf(kid)).toEqual(['ed25519', 'ml-dsa']);
    expect(await algsOf(kid, { produce_hybrid: true })).toEqual(['ed25519', 'ml-dsa']);
    expect(await algsOf(kid, { produce_hybrid: false })).toBe(PQ_POLICY);
  });

  test('is refused where the key has one algorithm only; a composite is a hybrid whatever is asked', async () => {
    for (const alg of ['ed25519', 'ml-dsa']) expect(await algsOf(await key('loose', { alg }), { produce_hybrid: true })).toBe('400 Unsupported');
    const composite = await key('loose', { alg: 'mldsa65-ed25519-sha512' });
    expect(await algsOf(composite, { produce_hybrid: true })).toEqual(await algsOf(composite));
  });
});

describe('several keys at once', () => {
  test('one of them has to have signed, whichever it is', async () => {
    const kids = await Promise.all(Array.from({ length: 16 }, () => key('loose', { alg: 'ed25519' })));
    for (const signer of [0, 7, 15]) {
      const sigs = await sigsOf(kids[signer] ?? '');
      const ask = (set: readonly string[]): Promise<Answer> => call(service, 'POST', '/verify', { kid_set: set, payload_b3: DIGEST, sigs }, token);
      expect((await ask(kids)).body['ok']).toBe(true);
      expect((await ask(kids.filter((_, i) => i !== signer))).body['ok']).toBe(false);
    }
  });

  test('more than sixteen, none, or one twice is BadRequest', async () => {
    const kid = await key('loose', { alg: 'ed25519' });
    const sigs = await sigsOf(kid);
    for (const set of [[], [kid, kid], Array.from({ length: 17 }, () => kid)]) {
      expect(verdict(await call(service, 'POST', '/verify', { kid_set: set, payload_b3: DIGEST, sigs }, token))).toBe('400 BadRequest');
    }
    expect(verdict(await call(service, 'POST', '/verify', { kid, kid_set: [kid], payload_b3: DIGEST, sigs }, token))).toBe('400 BadRequest');
    expect(verdict(await call(service, 'POST', '/verify', { payload_b3: DIGEST, sigs }, token))).toBe('400 BadRequest');
  });

  test('one that is not there is NotFound', async () => {
    const kid = await key('loose', { alg: 'ed25519' });
    const gone = kid.replace(/-7[0-9a-f]{3}-/, '-7000-');
    expect(verdict(await call(service, 'POST', '/verify', { kid_set: [kid, gone], payload_b3: DIGEST, sigs: await sigsOf(kid) }, token))).toBe('404 NotFound');
  });

  test('each is held to the mode of its own tenant', async () => {
    const [loose, strict] = [await key('loose'), await key('anybody')];
    const half = only(await sigsOf(loose), 'ed25519');
    const strictHalf = only(await sigsOf(strict), 'ed25519');
    const ask = async (sigs: Sigs): Promise<unknown> => (await call(service, 'POST', '/verify', { kid_set: [loose, strict], payload_b3: DIGEST, sigs }, token)).body['ok'];
    expect([await ask(half), await ask(strictHalf)]).toEqual([true, false]);
  });
});

describe('a kid without a version', () => {
  test('verifies with every usable version, newest first, and stops at the one that fits', async () => {
    const kid = await key('loose', { alg: 'ed25519' });
    const base = kid.split('#')[0] ?? '';
    const bundles = [await sigsOf(kid)];
    for (let version = 2; version <= 5; version++) {
      await call(service, 'POST', `/keys/${encodeURIComponent(base)}/rotate`, {}, token);
      bundles.push(await sigsOf(base));
    }
    for (const [i, sigs] of bundles.entries()) {
      const { body } = await verify(base, sigs);
      expect(body['details'].checked).toEqual(Array.from({ length: 5 - i }, (_, n) => ({ alg: 'ed25519', kid: `${base}#v${5 - n}`, ok: 5 - n === i + 1 })));
    }
    await call(service, 'POST', `/keys/${encodeURIComponent(`${base}#v2`)}/disable`, {}, token);
    expect(verdict(await verify(base, bundles[1] ?? []))).toBe(false);
    expect(verdict(await verify(base, bundles[0] ?? []))).toBe(true);
  });

  test('tries sixty-four at most', async () => {
    const kid = await key('loose', { alg: 'ed25519' });
    const base = kid.split('#')[0] ?? '';
    const first = await sigsOf(kid);
    for (let i = 0; i < 63; i++) await call(service, 'POST', `/keys/${encodeURIComponent(base)}/rotate`, {}, token);
    expect((await verify(base, first)).body['ok']).toBe(true);
    await call(service, 'POST', `/keys/${encodeURIComponent(base)}/rotate`, {}, token);
    const { body } = await verify(base, first);
    expect({ ok: body['ok'], checked: body['details'].checked.length }).toEqual({ ok: false, checked: 64 });
    expect((await verify(kid, first)).body['ok']).toBe(true);
  });
});

test('a micronode verifies under `or`: one good signature of a hybrid key is enough, and a bad one of it is not', async () => {
  const micronode = await startService();
  try {
    const { kid } = await createKey(micronode);
    const { body: { sigs } } = await call(micronode, 'POST', '/sign', { kid, payload_b3: DIGEST });
    const [ed] = sigs as Sigs;
    const verify = (payload_b3: string): Promise<Answer> => call(micronode, 'POST', '/verify', { kid, payload_b3, sigs: [ed] });
    expect((await verify(DIGEST)).body).toMatchObject({ ok: true, details: { mode: 'or' } });
    expect((await verify(OTHER)).body).toMatchObject({ ok: false });
  } finally {
    await micronode.stop();
  }
});
