import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestService } from '../harness/service.ts';
import { mint } from '../../src/core/macaroon/chain.ts';
import { encodeToken } from '../../src/core/macaroon/codec.ts';
import { forge, forgeV1, toToken } from '../harness/macaroon-bytes.ts';
import { rawRequest, sendRaw } from '../harness/raw-http.ts';
import { faultsOfRefusal } from '../harness/refusal.ts';
import { logUntilNow } from '../harness/log.ts';
import { call, createKey, everything, inFuture, ROOT_SECRET, startService, tokenOf } from '../harness/service.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const full = everything('core');
const [, TENANT = '', EXPIRES = ''] = full;
const bytes = forge({ caveats: full });
const good = toToken(bytes);

let service: TestService;
let key: Record<string, any>;
beforeAll(async () => {
  service = await startService();
  key = await createKey(service);
});
afterAll(async () => { await service.stop(); });

/** What the service makes of an Authorization header: the status, and the faults of the refusal. */
async function heard(authorization: string | undefined): Promise<{ readonly status: number; readonly faults: readonly string[] }> {
  const { status, headers, text } = await sendRaw(service.apiUrl, rawRequest({ method: 'GET', path: '/token', headers: authorization === undefined ? {} : { authorization } }));
  return { status, faults: status === 200 ? [] : faultsOfRefusal({ status, text, header: (name) => headers.get(name) }, ['NoCapability']) };
}

const bearer = (token: string | Buffer): string => `Bearer ${typeof token === 'string' ? token : toToken(token)}`;
const withCaveats = (...more: readonly string[]): string => bearer(forge({ caveats: [...full, ...more] }));
const only = (...caveats: readonly string[]): string => bearer(forge({ caveats }));
const ok = { status: 200, faults: [] };
const refused401 = { status: 401, faults: [] };
const refused403 = { status: 403, faults: [] };

/** The bytes with one of them changed. */
function flipped(at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
}

describe('a good token is accepted', () => {
  test.each<[string, string]>([
    ['as it is', bearer(good)],
    ['with the scheme in lower case', `bearer ${good}`],
    ['with a location, which says nothing', bearer(forge({ caveats: full, location: 'https://auth.example' }))],
    ['with 64 caveats', withCaveats(...Array.from({ length: 61 }, () => 'tenant = core'))],
    ['of exactly 8 KiB', bearer(ofSize(8192))],
    ['with the longest ids', bearer(forge({ identifier: `ron1.test.${'c'.repeat(64)}.${'_-Zz9'.repeat(12)}aaaa`, caveats: full }))],
    ['with every caveat that it can have', withCaveats('purpose = audit', 'alg = ed25519', 'peer = 127.0.0.0/8', 'peer = 0.0.0.0/0', `not-before = ${inFuture(-HOUR_MS)}`, 'rps = 1000', 'expires = 2999-01-01T00:00:00.000Z')],
    ['for every tenant', only(full[0] ?? '', 'tenant = *', EXPIRES)],
    ['with times in another zone and of other precision', only(full[0] ?? '', TENANT, `expires = ${inFuture(HOUR_MS).replace(/\.\d{3}Z/, '.123456789+00:00')}`)],
    ['a little before its time: clocks may be apart', withCaveats(`not-before = ${inFuture(1500)}`)],
  ])('%s', async (_name, authorization) => {
    expect(await heard(authorization)).toEqual(ok);
  });
});

describe('no token, or one that is not ours, is 401 NoCapability', () => {
  test.each<[string, string | undefined]>([
    ['no header', undefined],
    ['an empty header', ''],
    ['a scheme without a token', 'Bearer '],
    ['another scheme', `Basic ${good}`],
    ['the scheme of macaroons elsewhere', `Macaroon ${good}`],
    ['no scheme', good],
    ['two tokens', `Bearer ${good} ${good}`],
    ['a token with a comma', `Bearer ${good},`],
    ['not base64url', 'Bearer !!!!'],
    ['one letter', 'Bearer A'],
    ['padded', bearer(`${toToken(forge({ caveats: full, identifier: 'ron1.test.tester.t12' }))}=`)],
    ['in the alphabet of base64', bearer(withBothAlphabets().toString('base64').replaceAll('=', ''))],
    ['with stray bits at its end', bearer(strayBits())],
    ['with white space inside', `Bearer ${good.slice(0, 20)}\t${good.slice(20)}`],
    ['the first half of one', bearer(good.slice(0, good.length >> 1))],
    ['one byte short', bearer(bytes.subarray(0, -1))],
    ['one byte long', bearer(Buffer.concat([bytes, Buffer.of(0)]))],
    ['twice in a row', bearer(Buffer.concat([bytes, bytes]))],
    ['of format version 1', bearer(forgeV1('ron1.test.tester.t1', full))],
    ['of format version 3', bearer(Buffer.concat([Buffer.of(3), bytes.subarray(1)]))],
    ['in the JSON form of version 2', bearer(Buffer.from(JSON.stringify({ v: 2, i: 'ron1.test.tester.t1', c: full.map((i) => ({ i })), s64: bytes.subarray(-32).toString('base64url') })))],
    ['with a length written longer than it needs', bearer(Buffer.concat([Buffer.of(2, 2, 0x80 | 19, 0), bytes.subarray(3)]))],
    ['with an empty identifier', bearer(forge({ identifier: '', caveats: full }))],
    ['with an identifier that was changed', bearer(flipped(12))],
    ['with a caveat that was changed', bearer(flipped(60))],
    ['with a signature that was changed', bearer(flipped(-1))],
    ['with a signature of zeros', bearer(forge({ caveats: full, signature: Buffer.alloc(32) }))],
    ['with a signature of 31 bytes', bearer(forge({ caveats: full, signature: bytes.subarray(-31) }))],
    ['with no signature bytes', bearer(forge({ caveats: full, signature: Buffer.alloc(0) }))],
    ['with its last caveat taken away', bearer(forge({ caveats: full, signature: signatureOf([...full, 'purpose = audit']) }))],
    ['with its caveats in another order', bearer(forge({ caveats: full.toReversed(), signature: signatureOf(full) }))],
    ['with two caveats joined', bearer(forge({ caveats: [full[0] ?? '', `${TENANT}${EXPIRES}`], signature: signatureOf(full) }))],
    ['of another root key', bearer(forge({ caveats: full, secret: Buffer.alloc(32, 8) }))],
    ['of a root key that is not known', bearer(forge({ caveats: full, identifier: 'ron1.other.tester.t1' }))],
    ['of a root key named like an object\'s property', bearer(forge({ caveats: full, identifier: 'ron1.__proto__.tester.t1' }))],
    ['minted with the secret itself, not what is derived of it', bearer(encodeToken(mint(ROOT_SECRET, 'ron1.test.tester.t1', full)))],
    ['of another kind', bearer(forge({ caveats: full, identifier: 'ron2.test.tester.t1' }))],
    ['without the kind', bearer(forge({ caveats: full, identifier: 'test.tester.t1' }))],
    ['with the kind in capitals', bearer(forge({ caveats: full, identifier: 'RON1.test.tester.t1' }))],
    ['with an id missing', bearer(forge({ caveats: full, identifier: 'ron1.test.tester' }))],
    ['with an id too many', bearer(forge({ caveats: full, identifier: 'ron1.test.tester.t1.x' }))],
    ['with an empty id', bearer(forge({ caveats: full, identifier: 'ron1.test..t1' }))],
    ['with an id of 65 characters', bearer(forge({ caveats: full, identifier: `ron1.test.${'c'.repeat(65)}.t1` }))],
    ['with a letter that ids have not', bearer(forge({ caveats: full, identifier: 'ron1.test.té.t1' }))],
    ['with a newline after the identifier', bearer(forge({ caveats: full, identifier: 'ron1.test.tester.t1\n' }))],
    ['with a NUL in the identifier', bearer(forge({ caveats: full, identifier: 'ron1.test.tes\u0000er.t1' }))],
    ['with a third-party caveat', bearer(forge({ caveats: [...full, { id: 'ask', location: 'https://else.example', verificationId: Buffer.alloc(48, 1) }] }))],
    ['with a third-party caveat dressed as ours', bearer(forge({ caveats: [...full, { id: 'tenant = core', verificationId: Buffer.alloc(48, 1) }] }))],
    ['with a third-party caveat hashed as one of ours', bearer(forge({ caveats: [...full, { id: 'tenant = core', verificationId: Buffer.alloc(48, 1) }], signature: signatureOf([...full, 'tenant = core']) }))],
    ['with 65 caveats', withCaveats(...Array.from({ length: 62 }, () => 'tenant = core'))],
    ['with 100 caveats', withCaveats(...Array.from({ length: 97 }, () => 'rps = 9'))],
    ['of 8 KiB and a byte', bearer(ofSize(8193))],
    ['of 11 kB', bearer(ofSize(11_000))],
    ['that has expired', only(full[0] ?? '', TENANT, `expires = ${inFuture(-HOUR_MS)}`)],
    ['that has expired by its earliest time', withCaveats(`expires = ${inFuture(-10_000)}`)],
    ['that is not yet valid', withCaveats(`not-before = ${inFuture(60_000)}`)],
    ['that is not yet valid by its latest time', withCaveats(`not-before = ${inFuture(60_000)}`, `not-before = ${inFuture(-HOUR_MS)}`)],
  ])('%s', async (_name, authorization) => {
    expect(await heard(authorization)).toEqual(refused401);
  });
});

test('whichever byte of a token is changed, it is 401', async () => {
  const answers = await Promise.all([...bytes.keys()].map((at) => heard(bearer(flipped(at)))));
  expect(answers).toHaveLength(bytes.length);
  expect(answers.filter(({ status, faults }) => status !== 401 || faults.length > 0)).toEqual([]);
});

describe('a token of ours whose caveats leave nothing is 403 NoCapability', () => {
  const malformed: Readonly<Record<string, readonly string[]>> = {
    scope: ['', '*', 'kms:*', 'kms', 'kms:fly', 'KMS:READ', 'kms:read, kms:sign', 'kms:read kms:sign', 'kms:read;kms:sign', 'kms:read,', ',kms:read', 'kms:read,,kms:sign', 'kms:read,*', '"kms:read"', '[kms:read]', '__proto__'],
    tenant: ['', 'Core', '**', 'core,other', 'core*', '-core', 'co re', 'c'.repeat(64), 'core/audit', '!core', 'cöre', '"core"'],
    purpose: ['', '*', 'Audit', 'audit,other', 'a b', '.audit'],
    alg: ['', '*', 'rsa', 'ED25519', 'ed25519 + ml-dsa', 'ed25519,ml-dsa', 'toString'],
    kid: ['', '*', 'core', 'core/audit/ed25519', 'core/audit/ed25519/*', 'core/audit/ed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b#v0', 'core/audit/ed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b#v01', 'core/audit/rsa/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b', 'core/audit/ed25519/0193a0b1-c2d3-4e4f-8a5b-6c7d8e9f0a1b'],
    expires: ['', 'never', 'tomorrow', '1793000000', '2999-01-01', '2999-01-01T00:00:00', '2999-13-01T00:00:00Z', '2999-02-30T00:00:00Z', '2999-01-01T24:00:00Z', '2999-01-01T00:60:00Z', '2999-01-01 00:00:00Z', '02999-01-01T00:00:00Z', '+002999-01-01T00:00:00Z', '2999-01-01T00:00:00.Z', '2999-01-01T00:00:00+0000'],
    'not-before': ['', 'now', '2020-01-01', '2020-01-01T00:00:00', '2020-02-30T00:00:00Z', '0'],
    peer: ['', '*', '127.0.0.1', 'localhost/8', '127.0.0.1/33', '127.0.0.0/-8', '127.0.0.0/08', '127.0.0.0/8/8', '127.0.0/8', '::1/129', '/8', '127.0.0.0/', '127.0.0.0/8,10.0.0.0/8', '127.0.0.0/8 '],
    mtls: ['', '*', 'sha256:', `sha256:${'a'.repeat(63)}`, `sha256:${'A'.repeat(64)}`, `sha512:${'a'.repeat(64)}`, 'a'.repeat(64)],
    rps: ['', '0', '-1', '1.5', '1e3', '05', '+5', '0x5', 'Infinity', 'NaN', '5 ', '５'],
  };
  const rows = Object.entries(malformed).flatMap(([name, values]) => values.map((value) => `${name} = ${value}`));

  test.each(rows)('a malformed %s', async (caveat) => {
    expect(await heard(withCaveats(caveat))).toEqual(refused403);
  });

  test('there is a row for every caveat of the contract', () => {
    expect(Object.keys(malformed)).toEqual(['scope', 'tenant', 'purpose', 'alg', 'kid', 'expires', 'not-before', 'peer', 'mtls', 'rps']);
  });

  test.each([
    'tenant=core', 'tenant =core', 'tenant= core', 'tenant  = core', 'tenant =  core', ' tenant = core', 'tenant = core ', 'tenant\t=\tcore', 'tenant = core\n', 'tenant = core\t', 'tenant = core\u0000', 'tenant\u00a0=\u00a0core', 'tenant == core', 'tenant : core', 'tenant = = core',
    'scope=kms:read', 'scope  = kms:read', 'scope = kms:read  ', 'expires=2999-01-01T00:00:00Z',
  ])('odd spacing: %j', async (caveat) => {
    expect(await heard(withCaveats(caveat))).toEqual(refused403);
  });

  test.each([
    'ip = 127.0.0.1', 'Tenant = core', 'TENANT = core', 'tenants = core', 'time < 2999-01-01T00:00:00Z', '', ' = ', '=', 'tenant', '__proto__ = x', 'constructor = x', 'toString = x', 'true', 'scope', 'not_before = 2020-01-01T00:00:00Z', 'resource = *', '\u0000', 'x'.repeat(1000),
  ])('an unknown caveat: %j', async (caveat) => {
    expect(await heard(withCaveats(caveat))).toEqual(refused403);
  });

  test('a caveat that is no text', async () => {
    expect(await heard(bearer(forge({ caveats: [...full, { id: Buffer.from('tenant = co\xffre', 'latin1') }] })))).toEqual(refused403);
  });

  test.each<[string, readonly string[]]>([['scope', full.slice(1)], ['tenant', [full[0] ?? '', EXPIRES]], ['expires', full.slice(0, 2)], ['any caveat', []]])('no %s', async (_name, caveats) => {
    expect(await heard(only(...caveats))).toEqual(refused403);
  });

  test.each<[string, readonly string[]]>([
    ['from now', [`expires = ${inFuture(31 * DAY_MS)}`]],
    ['for a thousand years', ['expires = 2999-01-01T00:00:00Z']],
    ['from its not-before on', [`not-before = ${inFuture(-29 * DAY_MS)}`, `expires = ${inFuture(2 * DAY_MS)}`]],
  ])('a life longer than 30 days, %s', async (_name, times) => {
    expect(await heard(only(full[0] ?? '', TENANT, ...times))).toEqual(refused403);
  });

  test('a life of just under 30 days is not too long', async () => {
    expect(await heard(only(full[0] ?? '', TENANT, `expires = ${inFuture(30 * DAY_MS - 60_000)}`))).toEqual(ok);
  });

  test.each(['peer = 10.0.0.0/8', 'peer = 127.0.0.2/32', 'peer = fd00::/8', 'peer = 128.0.0.0/1', `mtls = sha256:${'a'.repeat(64)}`])('a connection that is not the one of: %s', async (caveat) => {
    expect(await heard(withCaveats(caveat))).toEqual(refused403);
  });

  test('two peers of which one is not this', async () => {
    expect(await heard(withCaveats('peer = 127.0.0.0/8', 'peer = 10.0.0.0/8'))).toEqual(refused403);
  });

  test('a header that says where the request came from changes nothing', async () => {
    const headers = { authorization: withCaveats('peer = 10.0.0.0/8'), 'x-forwarded-for': '10.1.2.3', forwarded: 'for=10.1.2.3', 'x-real-ip': '10.1.2.3', 'x-client-cert': 'a'.repeat(64) };
    expect((await sendRaw(service.apiUrl, rawRequest({ method: 'GET', path: '/token', headers }))).status).toBe(403);
  });
});

test('every call but the OpenAPI document wants a token, before it looks at anything else', async () => {
  const path = encodeURIComponent(key['kid']);
  for (const [method, at] of [['POST', '/keys'], ['GET', '/keys'], ['GET', `/keys/${path}`], ['PATCH', `/keys/${path}`], ['POST', `/keys/${path}/rotate`], ['POST', `/keys/${path}/destroy`], ['POST', '/sign'], ['POST', '/verify'], ['POST', '/sign/batch'], ['POST', '/wrap'], ['POST', '/unwrap'], ['POST', '/rewrap'], ['GET', '/token'], ['GET', `/keys/${path}/export`]] as const) {
    const { status } = await sendRaw(service.apiUrl, rawRequest({ method, path: at, body: method === 'GET' ? '' : '{"broken' }));
    expect({ at, status }).toEqual({ at, status: 401 });
  }
  expect((await sendRaw(service.apiUrl, rawRequest({ method: 'GET', path: '/openapi.json' }))).status).toBe(200);
});

test('GET /token says what the token may do, and no more than what its repeats leave', async () => {
  const caveats = [...full, 'scope = kms:sign,kms:read', 'purpose = audit', 'scope = kms:read', `expires = ${inFuture(60_000)}`];
  const { status, body } = await call(service, 'GET', '/token', undefined, tokenOf({ caveats }));
  expect(status).toBe(200);
  expect(body).toEqual({ client_id: 'tester', scopes: ['kms:read'], caveats, expires: caveats.at(-1)?.slice('expires = '.length) });
});

test('no token was written to the log', async () => {
  const log = await logUntilNow(service);
  expect([good.slice(20, 60), bytes.subarray(-32).toString('base64url'), bytes.subarray(-32).toString('hex')].filter((part) => log.includes(part))).toEqual([]);
});

function ofSize(sizeBytes: number): Buffer {
  const empty = forge({ caveats: full, location: 'x'.repeat(200) }).length - 200;
  return forge({ caveats: full, location: 'x'.repeat(sizeBytes - empty) });
}

function signatureOf(caveats: readonly string[]): Buffer {
  return forge({ caveats }).subarray(-32);
}

/** A good token whose base64 uses both of the letters in which the two alphabets differ. */
function withBothAlphabets(): Buffer {
  for (let i = 0; ; i++) {
    const candidate = forge({ identifier: `ron1.test.tester.t${i}`, caveats: full });
    if (/\+.*\/|\/.*\+/.test(candidate.toString('base64'))) return candidate;
  }
}

/** A good token, and then its last letter with bits that stand for nothing. */
function strayBits(): string {
  for (let i = 0; ; i++) {
    const text = toToken(forge({ identifier: `ron1.test.tester.t${'x'.repeat(i)}`, caveats: full }));
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.indexOf(text.at(-1) ?? '');
    if (text.length % 4 === 2) return text.slice(0, -1) + 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.charAt(last + 1);
  }
}
