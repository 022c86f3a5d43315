import type { KeyObject } from 'node:crypto';
import { createPublicKey, verify as cryptoVerify } from 'node:crypto';
import { blake3 } from '@noble/hashes/blake3.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { call, createKey, startService } from '../harness/service.ts';

const TEXT = Buffer.from('the deed, in full: \u00e9\u0000');
const DIGEST = Buffer.from(blake3(TEXT));

let service: TestService;
beforeAll(async () => { service = await startService(); });
afterAll(async () => { await service.stop(); });

const b64 = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64');
const size = (text: string): number => Buffer.from(text, 'base64').length;
const sign = (body: object): Promise<Answer> => call(service, 'POST', '/sign', body);
const verdict = async (body: object): Promise<unknown> => {
  const answer = await call(service, 'POST', '/verify', body);
  return answer.status === 200 ? answer.body['ok'] : `${answer.status} ${answer.body['error'].code}`;
};
const codeOf = ({ status, body }: Answer): string => `${status} ${body['error']?.code ?? 'ok'}`;

/** Checks a signature with OpenSSL, from nothing but the key document. */
function opensslAccepts(document: Record<string, any>, alg: string, message: Buffer, signature: string, context?: Buffer): boolean {
  const { spki_pem: pem } = document['versions'][0].public.find((part: { alg: string }) => part.alg === alg);
  const key: KeyObject = createPublicKey(pem);
  return cryptoVerify(null, message, context === undefined ? key : { key, context }, Buffer.from(signature, 'base64'));
}

describe('the document of a key', () => {
  test('says its parameter set and its schedule, where it has them', async () => {
    expect(await createKey(service, { alg: 'ml-dsa', parameter_set: 'ML-DSA-44', rotate_after: '30d' })).toMatchObject({ parameter_set: 'ML-DSA-44', rotate_after: '30d' });
    expect(await createKey(service, { alg: 'ml-dsa' })).toMatchObject({ parameter_set: 'ML-DSA-65' });
    expect(Object.keys(await createKey(service, { alg: 'ed25519' }))).not.toEqual(expect.arrayContaining(['parameter_set']));
  });

  test('has the public key as any library takes it: the same in PEM and as a JWK', async () => {
    const { versions: [{ public: [{ spki_pem: pem, jwk }] }] } = await createKey(service, { alg: 'ed25519' });
    expect(createPublicKey({ key: jwk, format: 'jwk' }).equals(createPublicKey(pem))).toBe(true);
  });
});

test('a signature that is none is counted as invalid, and is no refusal', async () => {
  const { kid } = await createKey(service, { alg: 'ed25519' });
  const counted = async (result: string): Promise<number> => Number(new RegExp(`^kms_ops_total\\{op="verify",alg="ed25519",result="${result}"\\} (\\d+)$`, 'm').exec(await (await fetch(`${service.metricsUrl}/metrics`)).text())?.[1] ?? 0);
  const before = [await counted('ok'), await counted('invalid')];
  expect(await verdict({ kid, payload_b64: b64(TEXT), sigs: [{ alg: 'ed25519', signature_b64: b64(Buffer.alloc(64)) }] })).toBe(false);
  expect([await counted('ok'), await counted('invalid')]).toEqual([before[0], (before[1] ?? 0) + 1]);
  expect(await verdict({ kid, payload_b64: b64(TEXT), sigs: (await sign({ kid, payload_b64: b64(TEXT) })).body['sigs'] })).toBe(true);
  expect([await counted('ok'), await counted('invalid')]).toEqual([(before[0] ?? 0) + 1, (before[1] ?? 0) + 1]);
});

test('how long an operation took is counted in seconds, under its algorithm, or `none` where no key was found', async () => {
  const { kid } = await createKey(service, { alg: 'ed25519' });
  const seconds = async (alg: string): Promise<number> => Number(new RegExp(`^kms_latency_seconds_sum\\{op="sign",alg="${alg}"\\} (\\S+)$`, 'm').exec(await (await fetch(`${service.metricsUrl}/metrics`)).text())?.[1] ?? 0);
  for (const [alg, named] of [['ed25519', kid], ['none', kid.replace(/[0-9a-f]{4}#/, '0000#')]] as const) {
    const before = await seconds(alg);
    const startedMs = performance.now();
    await sign({ kid: named, payload_b64: b64(TEXT) });
    const took = (await seconds(alg)) - before;
    expect(took).toBeGreaterThan(0);
    expect(took).toBeLessThan((performance.now() - startedMs) / 1000);
  }
});

describe('what is signed', () => {
  test('is the BLAKE3 digest for a key with input b3: any library verifies it', async () => {
    const document = await createKey(service, { alg: 'ed25519+ml-dsa' });
    const { body } = await sign({ kid: document['kid'], payload_b64: b64(TEXT) });
    expect(body['payload_b3']).toBe(DIGEST.toString('hex'));
    for (const { alg, signature_b64: signature } of body['sigs']) expect(opensslAccepts(document, alg, DIGEST, signature)).toBe(true);
    expect(document['input']).toBe('b3');
  });

  test.each(['ed25519', 'ml-dsa', 'ed25519+ml-dsa'])('is the payload itself for a raw key: %s', async (alg) => {
    const document = await createKey(service, { alg, input: 'raw' });
    const { body } = await sign({ kid: document['kid'], payload_b64: b64(TEXT) });
    expect(body['payload_b3']).toBe(DIGEST.toString('hex'));
    for (const one of body['sigs']) {
      expect(opensslAccepts(document, one.alg, TEXT, one.signature_b64)).toBe(true);
      expect(opensslAccepts(document, one.alg, DIGEST, one.signature_b64)).toBe(false);
    }
    expect(codeOf(await sign({ kid: document['kid'], payload_b3: DIGEST.toString('hex') }))).toBe('400 Unsupported');
    expect(await verdict({ kid: document['kid'], payload_b3: DIGEST.toString('hex'), sigs: body['sigs'] })).toBe('400 Unsupported');
    expect(await verdict({ kid: document['kid'], payload_b64: b64(TEXT), sigs: body['sigs'] })).toBe(true);
  });

  test('payload and digest mean the same to a b3 key', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const [byPayload, byDigest] = [await sign({ kid, payload_b64: b64(TEXT) }), await sign({ kid, payload_b3: DIGEST.toString('hex') })];
    expect(byPayload.body['sigs']).toEqual(byDigest.body['sigs']);
    expect(await verdict({ kid, payload_b3: DIGEST.toString('hex'), sigs: byPayload.body['sigs'] })).toBe(true);
    expect(await verdict({ kid, payload_b64: b64('another'), sigs: byPayload.body['sigs'] })).toBe(false);
  });

  test.each<[string, Buffer]>([['nothing', Buffer.alloc(0)], ['700 kB', Buffer.alloc(700_000, 7)]])('may be %s', async (_name, payload) => {
    for (const input of ['b3', 'raw']) {
      const { kid } = await createKey(service, { alg: 'ed25519', input });
      const { status, body } = await sign({ kid, payload_b64: b64(payload) });
      expect(status).toBe(200);
      expect(body['payload_b3']).toBe(Buffer.from(blake3(payload)).toString('hex'));
      expect(await verdict({ kid, payload_b64: b64(payload), sigs: body['sigs'] })).toBe(true);
    }
  });

  test('both a payload and a digest, or neither, is BadRequest', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const { sigs } = (await sign({ kid, payload_b64: b64(TEXT) })).body;
    for (const given of [{}, { payload_b64: b64(TEXT), payload_b3: DIGEST.toString('hex') }]) {
      expect(codeOf(await sign({ kid, ...given }))).toBe('400 BadRequest');
      expect(await verdict({ kid, ...given, sigs })).toBe('400 BadRequest');
    }
  });
});

describe('every signing algorithm', () => {
  test.each<[string, string | undefined, readonly (readonly [string, string | undefined, number, number])[]]>([
    ['ed25519', undefined, [['ed25519', undefined, 32, 64]]],
    ['ml-dsa', undefined, [['ml-dsa', 'ML-DSA-65', 1952, 3309]]],
    ['ml-dsa', 'ML-DSA-44', [['ml-dsa', 'ML-DSA-44', 1312, 2420]]],
    ['ml-dsa', 'ML-DSA-87', [['ml-dsa', 'ML-DSA-87', 2592, 4627]]],
    ['ed25519+ml-dsa', undefined, [['ed25519', undefined, 32, 64], ['ml-dsa', 'ML-DSA-65', 1952, 3309]]],
    ['ed25519+ml-dsa', 'ML-DSA-44', [['ed25519', undefined, 32, 64], ['ml-dsa', 'ML-DSA-44', 1312, 2420]]],
    ['ed25519+ml-dsa', 'ML-DSA-87', [['ed25519', undefined, 32, 64], ['ml-dsa', 'ML-DSA-87', 2592, 4627]]],
    ['mldsa65-ed25519-sha512', undefined, [['mldsa65-ed25519-sha512', undefined, 1984, 3373]]],
  ])('%s %s makes keys and signatures of the sizes of its standard', async (alg, parameterSet, parts) => {
    const document = await createKey(service, { alg, ...(parameterSet !== undefined && { parameter_set: parameterSet }) });
    expect(document['versions'][0].public.map((part: any) => [part.alg, size(part.pubkey_b64)])).toEqual(parts.map(([name, , publicBytes]) => [name, publicBytes]));
    const { body } = await sign({ kid: document['kid'], payload_b64: b64(TEXT) });
    expect(body['sigs'].map((one: any) => [one.alg, one.parameter_set, size(one.signature_b64)])).toEqual(parts.map(([name, set, , bytes]) => [name, set, bytes]));
    // As sign gave them, they go into verify.
    expect(await verdict({ kid: body['kid'], payload_b3: body['payload_b3'], sigs: body['sigs'] })).toBe(true);
  });

  test.each([['ed25519', 'ML-DSA-65'], ['ml-dsa', 'ML-KEM-768'], ['ml-dsa', 'ml-dsa-65'], ['ml-dsa', 'constructor'], ['mldsa65-ed25519-sha512', 'ML-DSA-65'], ['x25519', 'X25519'], ['ml-kem', 'ML-DSA-65'], ['aes-256-gcm', 'AES']])('%s has no parameter set %s', async (alg, set) => {
    expect(codeOf(await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit', alg, parameter_set: set }))).toBe('400 Unsupported');
  });

  test.each(['x25519', 'ml-kem', 'x25519+ml-kem', 'aes-256-gcm', 'chacha20-poly1305'])('%s does not sign', async (alg) => {
    const { kid } = await createKey(service, { alg });
    expect(codeOf(await sign({ kid, payload_b64: b64(TEXT) }))).toBe('400 Unsupported');
    expect(await verdict({ kid, payload_b64: b64(TEXT), sigs: [{ alg: 'ed25519', signature_b64: '' }] })).toBe('400 Unsupported');
  });

  test.each(['ed25519', 'ml-dsa', 'ed25519+ml-dsa', 'mldsa65-ed25519-sha512'])('%s does not wrap', async (alg) => {
    const { kid } = await createKey(service, { alg });
    expect(codeOf(await call(service, 'POST', '/wrap', { kid, size: 16 }))).toBe('400 Unsupported');
  });
});

describe('a context', () => {
  test.each([['ml-dsa', true], ['mldsa65-ed25519-sha512', false]] as const)('is bound into what %s signs', async (alg, isOpenssl) => {
    const document = await createKey(service, { alg });
    const context = Buffer.from('purpose: test');
    const request = { kid: document['kid'], payload_b64: b64(TEXT) };
    const { sigs } = (await sign({ ...request, context_b64: b64(context) })).body;
    expect(await verdict({ ...request, sigs, context_b64: b64(context) })).toBe(true);
    for (const other of [{}, { context_b64: b64('purpose: other') }, { context_b64: '' }]) expect(await verdict({ ...request, sigs, ...other })).toBe(false);
    if (isOpenssl) expect(opensslAccepts(document, alg, DIGEST, sigs[0].signature_b64, context)).toBe(true);
    const { sigs: without } = (await sign(request)).body;
    expect(await verdict({ ...request, sigs: without, context_b64: b64(context) })).toBe(false);
    expect(await verdict({ ...request, sigs: without })).toBe(true);
  });

  test.each(['ml-dsa', 'mldsa65-ed25519-sha512'])('of %s has 255 bytes at most', async (alg) => {
    const { kid } = await createKey(service, { alg });
    const request = { kid, payload_b64: b64(TEXT), context_b64: b64(Buffer.alloc(255, 1)) };
    const { status, body } = await sign(request);
    expect(status).toBe(200);
    expect(await verdict({ ...request, sigs: body['sigs'] })).toBe(true);
    const long = { ...request, context_b64: b64(Buffer.alloc(256, 1)) };
    expect(codeOf(await sign(long))).toBe('400 BadRequest');
    expect(await verdict({ ...long, sigs: body['sigs'] })).toBe('400 BadRequest');
  });

  test.each(['ed25519', 'ed25519+ml-dsa'])('is not for %s', async (alg) => {
    const { kid } = await createKey(service, { alg });
    const request = { kid, payload_b64: b64(TEXT) };
    const { sigs } = (await sign(request)).body;
    expect(codeOf(await sign({ ...request, context_b64: b64('x') }))).toBe('400 Unsupported');
    expect(await verdict({ ...request, sigs, context_b64: b64('x') })).toBe('400 Unsupported');
  });
});

describe('a batch', () => {
  test('of 256 is done, of 257 or none refused', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const items = (count: number): object[] => Array.from({ length: count }, (_, i) => ({ kid, payload_b3: i.toString(16).padStart(64, '0') }));
    const { status, body } = await call(service, 'POST', '/sign/batch', { items: items(256) });
    expect({ status, payloads: body['items'].map(({ payload_b3: digest }: any) => Number.parseInt(digest, 16)) }).toEqual({ status: 200, payloads: Array.from({ length: 256 }, (_, i) => i) });
    for (const count of [0, 257]) expect(codeOf(await call(service, 'POST', '/sign/batch', { items: items(count) }))).toBe('400 BadRequest');
    const verified = await call(service, 'POST', '/verify/batch', { items: body['items'].map(({ kid: by, payload_b3: digest, sigs }: any, i: number) => ({ kid: by, payload_b3: i % 2 === 0 ? digest : 'f'.repeat(64), sigs })) });
    expect(verified.body['items'].map(({ ok }: any) => ok)).toEqual(Array.from({ length: 256 }, (_, i) => i % 2 === 0));
  });

  test('does what can be done and says of the rest what is wrong, in order', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const { kid: off } = await createKey(service, { alg: 'ed25519' });
    await call(service, 'POST', `/keys/${encodeURIComponent(off)}/disable`, {});
    const payload = { payload_b3: '0'.repeat(64) };
    const { body } = await call(service, 'POST', '/sign/batch', { items: [{ kid, ...payload }, { kid: off, ...payload }, { kid: 'core/x', ...payload }, { kid }, { kid, payload_b64: 'Q' }, { kid: kid.replace(/-7[0-9a-f]{3}-/, '-7000-'), ...payload }, { kid, ...payload, context_b64: '' }, { kid, ...payload }] });
    expect(body['items'].map((item: any) => item.error?.code ?? 'ok')).toEqual(['ok', 'KeyState', 'BadRequest', 'BadRequest', 'BadRequest', 'NotFound', 'Unsupported', 'ok']);
  });
});
