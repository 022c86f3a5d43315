import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { parseEnvelope } from '../../src/core/envelope/envelope.ts';
import { logUntilNow } from '../harness/log.ts';
import { call, createKey, startService } from '../harness/service.ts';

const ALGS: readonly (readonly [alg: string, parameterSet: string | undefined])[] = [['x25519', undefined], ['ml-kem', 'ML-KEM-768'], ['ml-kem', 'ML-KEM-1024'], ['x25519+ml-kem', undefined], ['aes-256-gcm', undefined], ['chacha20-poly1305', undefined]];
const AEADS = ['aes-256-gcm', 'chacha20-poly1305'];
const AT_ONCE = 16;

let service: TestService;
let small: TestService;
beforeAll(async () => {
  [service, small] = await Promise.all([startService(), startService({ flags: ['--service-allowed-algs', 'ed25519,x25519', '--service-allowed-aeads', 'aes-256-gcm'] })]);
});
afterAll(async () => { await Promise.all([service.stop(), small.stop()]); });

const b64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
const make = async (alg: string, parameterSet?: string): Promise<string> => (await createKey(service, { alg, ...(parameterSet !== undefined && { parameter_set: parameterSet }) }))['kid'];
const wrap = (body: object): Promise<Answer> => call(service, 'POST', '/wrap', body);
const unwrap = (body: object): Promise<Answer> => call(service, 'POST', '/unwrap', body);
const codeOf = ({ status, body }: Answer): string => `${status} ${body['error']?.code ?? 'ok'}`;
const wrapped = async (body: object): Promise<string> => (await wrap(body)).body['wrapped_b64'];
const move = (kid: string, action: string): Promise<Answer> => call(service, 'POST', `/keys/${encodeURIComponent(kid)}/${action}`, {});
const baseOf = (kid: string): string => kid.split('#')[0] ?? '';
const UNWRAP_FAILED = '400 UnwrapFailed';

const nonceOf = (text: string): bigint => BigInt(`0x${parseEnvelope(Buffer.from(text, 'base64')).enc.toString('hex')}`);
const nonce = (value: bigint): string => Buffer.from(value.toString(16).padStart(24, '0'), 'hex').toString('base64');
const next = async (kid: string): Promise<bigint> => nonceOf(await wrapped({ kid, size: 16 }));

/** An error without what differs from request to request. */
const faceOf = ({ status, body }: Answer): unknown => {
  const { ts: _, request_id: __, ...error } = body['error'];
  return { status, error };
};

describe.each(ALGS)('%s %s', (alg, parameterSet) => {
  let kid: string;
  beforeAll(async () => { kid = await make(alg, parameterSet); });

  test.each([1, 16, 32, 4096])('gives a key of %i bytes back as it was', async (length) => {
    const secret = b64(Buffer.alloc(length, 0xa5));
    const { status, body } = await wrap({ kid, plaintext_key_b64: secret, aad_b64: b64('for disk 7') });
    expect(status).toBe(200);
    // A key that was given is not given back.
    expect(Object.keys(body).toSorted()).toEqual(['alg', 'audit', 'kid', 'wrapped_b64']);
    expect(body).toMatchObject({ kid, alg });
    const opened = await unwrap({ wrapped_b64: body['wrapped_b64'], aad_b64: b64('for disk 7') });
    expect(opened.body).toMatchObject({ kid, alg, plaintext_key_b64: secret });
  });

  test('generates keys of 16 to 64 bytes, shows them if it may, and never the same', async () => {
    const seen = new Set<string>();
    for (const size of [16, 32, 64]) {
      const { body } = await wrap({ kid, size });
      expect(Buffer.from(body['plaintext_key_b64'], 'base64')).toHaveLength(size);
      expect((await unwrap({ wrapped_b64: body['wrapped_b64'] })).body['plaintext_key_b64']).toBe(body['plaintext_key_b64']);
      const silent = await wrap({ kid, size, return_plaintext: false });
      expect(silent.body).not.toHaveProperty('plaintext_key_b64');
      const { plaintext_key_b64: secret } = (await unwrap({ wrapped_b64: silent.body['wrapped_b64'] })).body;
      expect(Buffer.from(secret, 'base64')).toHaveLength(size);
      seen.add(body['plaintext_key_b64']).add(secret);
    }
    expect(seen.size).toBe(6);
  });

  test('wrapped twice is never the same', async () => {
    const body = { kid, plaintext_key_b64: b64('the same') };
    const texts = await Promise.all(Array.from({ length: 20 }, () => wrapped(body)));
    expect(new Set(texts).size).toBe(20);
  });

  test('opens with its own AAD only', async () => {
    const [bound, unbound] = [await wrapped({ kid, size: 16, aad_b64: b64('a') }), await wrapped({ kid, size: 16 })];
    for (const aad of [undefined, '', b64('b'), b64('a '), b64('A')]) expect(codeOf(await unwrap({ wrapped_b64: bound, ...(aad !== undefined && { aad_b64: aad }) }))).toBe(UNWRAP_FAILED);
    expect(codeOf(await unwrap({ wrapped_b64: unbound, aad_b64: b64('a') }))).toBe(UNWRAP_FAILED);
    expect(codeOf(await unwrap({ wrapped_b64: unbound, aad_b64: '' }))).toBe('200 ok');
  });

  test('opens for its own kid only, with or without the version', async () => {
    const text = await wrapped({ kid, size: 16 });
    for (const right of [kid, baseOf(kid)]) expect(codeOf(await unwrap({ wrapped_b64: text, kid: right }))).toBe('200 ok');
    for (const wrong of [`${baseOf(kid)}#v2`, await make(alg, parameterSet)]) expect(codeOf(await unwrap({ wrapped_b64: text, kid: wrong }))).toBe(UNWRAP_FAILED);
  });

  test('one byte changed anywhere opens nothing, and looks the same wherever it was', async () => {
    const bytes = Buffer.from(await wrapped({ kid, size: 32 }), 'base64');
    const headerEnd = 12 + kid.length;
    // From the length of the kid on: a kid that takes one byte more may be another version's.
    const kidRange = (at: number): boolean => at >= 10 && at < headerEnd;
    // All of the header and the tag, and every nineteenth byte between.
    const places = [...bytes.keys()].filter((at) => at < headerEnd + 16 || at >= bytes.length - 20 || at % 19 === 0);
    const cases = places.flatMap((at) => [0x01, 0x80].map((bit) => ({ at, bit })));
    const faces = new Set<string>();
    for (let i = 0; i < cases.length; i += AT_ONCE) {
      await Promise.all(cases.slice(i, i + AT_ONCE).map(async ({ at, bit }) => {
        const copy = Buffer.from(bytes);
        copy[at] = (copy[at] ?? 0) ^ bit;
        const answer = await unwrap({ wrapped_b64: b64(copy) });
        const allowed = kidRange(at) ? [UNWRAP_FAILED, '403 NoCapability', '404 NotFound'] : [UNWRAP_FAILED];
        expect(allowed, `byte ${at}`).toContain(codeOf(answer));
        if (codeOf(answer) === UNWRAP_FAILED) faces.add(JSON.stringify(faceOf(answer)));
      }));
    }
    expect(cases.length).toBeGreaterThan(200);
    expect(faces.size).toBe(1);
  });

  test('cut, lengthened or made of nothing it opens nothing', async () => {
    const bytes = Buffer.from(await wrapped({ kid, size: 32 }), 'base64');
    const broken = [Buffer.alloc(0), Buffer.from('RKW\u0001'), ...[1, 11, 12, 40, 12 + kid.length, bytes.length - 17, bytes.length - 1].map((length) => bytes.subarray(0, length)), Buffer.concat([bytes, Buffer.of(0)]), Buffer.concat([bytes, bytes]), Buffer.alloc(500_000, bytes[0]), Buffer.alloc(bytes.length)];
    for (const text of broken.map(b64)) {
      expect(codeOf(await unwrap({ wrapped_b64: text }))).toBe(UNWRAP_FAILED);
      expect(codeOf(await call(service, 'POST', '/rewrap', { wrapped_b64: text }))).toBe(UNWRAP_FAILED);
    }
  });

  test('old envelopes open after five rotations, and rewrap brings them to the newest version unseen', async () => {
    const fresh = await make(alg, parameterSet);
    const base = baseOf(fresh);
    const envelopes: { readonly kid: string; readonly text: string; readonly secret: string }[] = [];
    for (let version = 1; version <= 6; version++) {
      const { body } = await wrap({ kid: base, size: 32, aad_b64: b64('x') });
      expect(body['kid']).toBe(`${base}#v${version}`);
      envelopes.push({ kid: body['kid'], text: body['wrapped_b64'], secret: body['plaintext_key_b64'] });
      if (version < 6) await move(base, 'rotate');
    }
    for (const { kid: by, text, secret } of envelopes) {
      expect((await unwrap({ wrapped_b64: text, aad_b64: b64('x') })).body).toMatchObject({ kid: by, plaintext_key_b64: secret });
      const rewrapped = await call(service, 'POST', '/rewrap', { wrapped_b64: text, aad_b64: b64('x') });
      expect(Object.keys(rewrapped.body).toSorted()).toEqual(['alg', 'audit', 'kid', 'wrapped_b64']);
      expect(rewrapped.body['kid']).toBe(`${base}#v6`);
      expect((await unwrap({ wrapped_b64: rewrapped.body['wrapped_b64'], aad_b64: b64('x') })).body).toMatchObject({ kid: `${base}#v6`, plaintext_key_b64: secret });
      expect(codeOf(await call(service, 'POST', '/rewrap', { wrapped_b64: text }))).toBe(UNWRAP_FAILED);
    }
    expect((await wrap({ kid: `${base}#v2`, size: 16 })).body['kid']).toBe(`${base}#v2`);
    await move(`${base}#v1`, 'disable');
    expect(codeOf(await unwrap({ wrapped_b64: envelopes[0]?.text, aad_b64: b64('x') }))).toBe('409 KeyState');
    expect(codeOf(await unwrap({ wrapped_b64: envelopes[1]?.text, aad_b64: b64('x') }))).toBe('200 ok');
  });

  test('is rewrapped neither from a version that is disabled, nor to one', async () => {
    const base = baseOf(await make(alg, parameterSet));
    const text = await wrapped({ kid: base, size: 32 });
    await move(base, 'rotate');
    const rewrap = async (): Promise<string> => codeOf(await call(service, 'POST', '/rewrap', { wrapped_b64: text }));
    for (const version of ['#v1', '#v2']) {
      await move(base + version, 'disable');
      expect({ version, is: await rewrap() }).toEqual({ version, is: '409 KeyState' });
      await move(base + version, 'enable');
      expect({ version, is: await rewrap() }).toEqual({ version, is: '200 ok' });
    }
  });

  test('needs a key or a size, one of them, and of a fitting length', async () => {
    for (const body of [{}, { size: 32, plaintext_key_b64: b64('x') }, { plaintext_key_b64: '' }, { plaintext_key_b64: b64(Buffer.alloc(4097)) }, { size: 15 }, { size: 65 }]) {
      expect(codeOf(await wrap({ kid, ...body }))).toBe('400 BadRequest');
    }
  });
});

describe('kem_mode', () => {
  test.each([['x25519', 'classical'], ['ml-kem', 'pq'], ['x25519+ml-kem', 'hybrid'], ['aes-256-gcm', 'none of them']])('of %s is %s, and any other is refused with a hint', async (alg, own) => {
    const kid = await make(alg);
    for (const mode of ['hybrid', 'classical', 'pq']) {
      const answer = await wrap({ kid, size: 16, kem_mode: mode });
      expect({ mode, is: codeOf(answer) }).toEqual({ mode, is: mode === own ? '200 ok' : '403 PqPolicy' });
      if (mode !== own) expect(answer.body['error'].hint).toContain('kem_mode');
    }
  });
});

describe('an envelope that was put together of two', () => {
  test('opens nothing: neither header, nor encapsulation, nor ciphertext can be exchanged', async () => {
    for (const alg of ['x25519', 'x25519+ml-kem', 'aes-256-gcm', 'chacha20-poly1305']) {
      const [one, two] = [await make(alg), await make(alg)];
      const [first, second, third] = (await Promise.all([wrapped({ kid: one, size: 32 }), wrapped({ kid: two, size: 32 }), wrapped({ kid: one, size: 32 })])).map((text) => Buffer.from(text, 'base64'));
      if (first === undefined || second === undefined || third === undefined) throw new Error('three were wrapped');
      const { header, enc } = parseEnvelope(first);
      const encEnd = header.length + enc.length;
      for (const mixed of [[header, second.subarray(header.length)], [second.subarray(0, header.length), first.subarray(header.length)], [first.subarray(0, encEnd), third.subarray(encEnd)], [first.subarray(0, encEnd), second.subarray(encEnd)]]) {
        expect(codeOf(await unwrap({ wrapped_b64: b64(Buffer.concat(mixed)) }))).toBe(UNWRAP_FAILED);
      }
    }
  });
});

describe.each(AEADS)('the nonces of %s', (alg) => {
  test('count up by one', async () => {
    const kid = await make(alg);
    const first = await next(kid);
    expect([await next(kid), await next(kid), await next(kid)]).toEqual([first + 1n, first + 2n, first + 3n]);
  });

  test('are two hundred different ones for two hundred wraps at once, rewraps among them', async () => {
    const kid = await make(alg);
    const text = await wrapped({ kid, size: 16 });
    const texts = await Promise.all(Array.from({ length: 200 }, async (_, i) =>
      i % 4 === 0 ? (await call(service, 'POST', '/rewrap', { wrapped_b64: text })).body['wrapped_b64'] : wrapped({ kid, size: 16 })));
    expect(new Set([text, ...texts].map(nonceOf)).size).toBe(201);
  });

  test('may be the caller\'s own, above the last, and the counter goes on from there', async () => {
    const kid = await make(alg);
    await next(kid);
    const text = await wrapped({ kid, size: 16, nonce_b64: nonce(1000n) });
    expect(nonceOf(text)).toBe(1000n);
    expect(codeOf(await unwrap({ wrapped_b64: text }))).toBe('200 ok');
    expect(await next(kid)).toBe(1001n);
  });

  test('are refused when they are not above the last, and that moves nothing', async () => {
    const kid = await make(alg);
    await wrapped({ kid, size: 16, nonce_b64: nonce(50n) });
    for (const value of [0n, 1n, 49n, 50n]) expect(codeOf(await wrap({ kid, size: 16, nonce_b64: nonce(value) }))).toBe('409 NonceReuse');
    expect(await next(kid)).toBe(51n);
    expect(codeOf(await wrap({ kid, size: 16, nonce_b64: nonce(51n) }))).toBe('409 NonceReuse');
  });

  test('may jump by 2^32 and no further', async () => {
    const kid = await make(alg);
    await wrapped({ kid, size: 16, nonce_b64: nonce(10n) });
    for (const value of [10n + 2n ** 32n + 1n, 2n ** 64n, 2n ** 96n - 1n]) expect(codeOf(await wrap({ kid, size: 16, nonce_b64: nonce(value) }))).toBe('409 NonceReuse');
    expect(codeOf(await wrap({ kid, size: 16, nonce_b64: nonce(10n + 2n ** 32n) }))).toBe('200 ok');
    expect(await next(kid)).toBe(11n + 2n ** 32n);
  });

  test('asked for by many at once are given to one', async () => {
    const kid = await make(alg);
    await next(kid);
    const answers = await Promise.all(Array.from({ length: 40 }, () => wrap({ kid, size: 16, nonce_b64: nonce(77n) })));
    expect(answers.map(codeOf).toSorted()).toEqual(['200 ok', ...Array.from({ length: 39 }, () => '409 NonceReuse')]);
  });

  test('are 12 bytes', async () => {
    const kid = await make(alg);
    for (const length of [0, 8, 11, 13, 24]) expect(codeOf(await wrap({ kid, size: 16, nonce_b64: b64(Buffer.alloc(length, 1)) }))).toBe('400 BadRequest');
  });
});

test('a nonce is not for keys that need none', async () => {
  for (const alg of ['x25519', 'ml-kem', 'x25519+ml-kem']) {
    expect(codeOf(await wrap({ kid: await make(alg), size: 16, nonce_b64: b64(Buffer.alloc(12, 1)) }))).toBe('400 Unsupported');
  }
});

describe('where only some algorithms are allowed', () => {
  test.each([['ed25519', 201], ['x25519', 201], ['aes-256-gcm', 201], ['ml-dsa', 400], ['ed25519+ml-dsa', 400], ['mldsa65-ed25519-sha512', 400], ['ml-kem', 400], ['x25519+ml-kem', 400], ['chacha20-poly1305', 400]])('%s is answered %i', async (alg, status) => {
    const answer = await call(small, 'POST', '/keys', { tenant: 'core', purpose: 'audit', alg });
    expect({ status: answer.status, code: answer.body['error']?.code }).toEqual({ status, code: status === 400 ? 'Unsupported' : undefined });
  });

  test('the default of a purpose is refused too, not replaced by a weaker one', async () => {
    for (const purpose of ['audit', 'kem']) expect(codeOf(await call(small, 'POST', '/keys', { tenant: 'core', purpose }))).toBe('400 Unsupported');
  });

  test('the allowed AEAD seals to KEM keys', async () => {
    const { kid } = await createKey(small, { alg: 'x25519' });
    const { body } = await call(small, 'POST', '/wrap', { kid, size: 32 });
    expect(parseEnvelope(Buffer.from(body['wrapped_b64'], 'base64')).aead.name).toBe('AES-256-GCM');
    expect((await call(small, 'POST', '/unwrap', { wrapped_b64: body['wrapped_b64'] })).body['plaintext_key_b64']).toBe(body['plaintext_key_b64']);
  });
});

test('no plaintext key was written to the log', async () => {
  expect((await logUntilNow(service)).includes(b64(Buffer.alloc(32, 0xa5)).slice(0, 20))).toBe(false);
});
