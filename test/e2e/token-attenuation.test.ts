import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestService } from '../harness/service.ts';
import { scopes } from '../../src/core/macaroon/caveats.ts';
import { attenuate } from '../../src/core/macaroon/chain.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';
import { call, createKey, everything, inFuture, startService, tokenOf } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);
const HOUR_MS = 3_600_000;
const everywhere = tokenOf({ caveats: everything('*') });

let service: TestService;
let probes: readonly (readonly [name: string, method: string, path: string, body: unknown])[];
let kids: readonly string[];

beforeAll(async () => {
  service = await startService();
  const made = await Promise.all([['aaa', 'audit', 'ed25519'], ['aaa', 'other', 'ed25519'], ['bbb', 'audit', 'ed25519'], ['aaa', 'audit', 'x25519']].map(([tenant, purpose, alg]) => createKey(service, { tenant, purpose, alg }, everywhere)));
  kids = made.map(({ kid }) => kid);
  const [first = '', second, third, kem] = kids;
  const base = first.split('#')[0] ?? '';
  await call(service, 'POST', `/keys/${encodeURIComponent(base)}/rotate`, {}, everywhere);
  const { sigs } = (await call(service, 'POST', '/sign', { kid: first, payload_b3: DIGEST }, everywhere)).body;
  const { wrapped_b64: wrapped } = (await call(service, 'POST', '/wrap', { kid: kem, size: 16 }, everywhere)).body;
  probes = [
    ...[first, base, second, third].map((kid, i) => [`sign ${i}`, 'POST', '/sign', { kid, payload_b3: DIGEST }] as const),
    ['verify', 'POST', '/verify', { kid: base, payload_b3: DIGEST, sigs }],
    ['read', 'GET', `/keys/${encodeURIComponent(first)}`, undefined],
    ['label', 'PATCH', `/keys/${encodeURIComponent(first)}`, { labels: {} }],
    ['create', 'POST', '/keys', { tenant: 'aaa', purpose: 'audit', alg: 'aes-256-gcm' }],
    ['wrap', 'POST', '/wrap', { kid: kem, size: 16 }], ['unwrap', 'POST', '/unwrap', { wrapped_b64: wrapped }], ['rewrap', 'POST', '/rewrap', { wrapped_b64: wrapped }],
    ['token', 'GET', '/token', undefined],
  ];
});
afterAll(async () => { await service.stop(); });

/** Caveats of all names, most of them true of something here, some malformed. */
function anyCaveat(): fc.Arbitrary<string> {
  const [first = '', , , kem = ''] = kids;
  return fc.oneof(
    { weight: 3, arbitrary: fc.subarray([...scopes], { minLength: 1 }).map((some) => `scope = ${some.join(',')}`) },
    { weight: 2, arbitrary: fc.constantFrom('tenant = aaa', 'tenant = bbb', 'tenant = *') },
    { weight: 2, arbitrary: fc.constantFrom('purpose = audit', 'purpose = other', 'alg = ed25519', 'alg = x25519', 'alg = aes-256-gcm') },
    { weight: 2, arbitrary: fc.constantFrom(`kid = ${first}`, `kid = ${first.split('#')[0]}`, `kid = ${first.split('#')[0]}#v2`, `kid = ${kem}`) },
    { weight: 2, arbitrary: fc.constantFrom(`expires = ${inFuture(2 * HOUR_MS)}`, `expires = ${inFuture(HOUR_MS / 2)}`, `expires = ${inFuture(-HOUR_MS)}`, 'expires = 2999-01-01T00:00:00Z') },
    { weight: 1, arbitrary: fc.constantFrom(`not-before = ${inFuture(-HOUR_MS)}`, `not-before = ${inFuture(HOUR_MS)}`, 'not-before = 2020-01-01T00:00:00Z') },
    { weight: 1, arbitrary: fc.constantFrom('peer = 127.0.0.0/8', 'peer = 10.0.0.0/8', 'rps = 100000', `mtls = sha256:${'0'.repeat(64)}`) },
    { weight: 1, arbitrary: fc.constantFrom('tenant=aaa', 'scope = *', 'scope = kms:*', 'tenant = aaa ', 'admin = true', '', 'purpose = *', 'kid = *') },
  );
}

function narrow(token: string, caveats: readonly string[]): string {
  const macaroon = decodeToken(token);
  if (macaroon === undefined) throw new Error('no token of ours');
  return encodeToken(caveats.reduce(attenuate, macaroon));
}

/** The probes that a token may do, and the keys with versions that it is shown. */
async function reachOf(token: string): Promise<ReadonlySet<string>> {
  const done = await Promise.all(probes.map(async ([name, method, path, body]) => ({ name, status: (await call(service, method, path, body, token)).status })));
  const { status, body } = await call(service, 'GET', '/keys?limit=1000&alg=ed25519', undefined, token);
  const shown = status !== 200 ? [] : body['keys'].flatMap((key: { versions: { kid: string }[] }) => key.versions.map(({ kid }) => `sees ${kid}`));
  return new Set([...done.filter(({ status }) => status < 300).map(({ name }) => name), ...shown]);
}

test('the probes are such that a token for everything may do all of them', async () => {
  expect((await reachOf(everywhere)).size).toBeGreaterThanOrEqual(probes.length + 4);
});

test('whatever a narrowed token may do, the token that it was narrowed from may do', { timeout: 40_000 }, async () => {
  let allowed = 0;
  await fc.assert(fc.asyncProperty(fc.array(anyCaveat(), { maxLength: 3 }), fc.array(anyCaveat(), { minLength: 1, maxLength: 3 }), async (first, more) => {
    const parent = narrow(everywhere, first);
    const [wide, small] = await Promise.all([reachOf(parent), reachOf(narrow(parent, more))]);
    allowed += small.size;
    expect(small.difference(wide)).toEqual(new Set());
  }), { numRuns: 100 });
  // It was not true only because nothing was allowed.
  expect(allowed).toBeGreaterThan(100);
});

test('a caveat more is a token that still works, and the narrowing cannot be taken back', async () => {
  const narrowed = narrow(everywhere, ['scope = kms:sign', `kid = ${kids[0]}`]);
  expect([...(await reachOf(narrowed))].toSorted()).toEqual(['sign 0', 'token']);
  expect([...(await reachOf(narrow(narrowed, [`scope = ${scopes.join(',')}`, 'tenant = *', 'expires = 2999-01-01T00:00:00Z'])))].toSorted()).toEqual(['sign 0', 'token']);
});

test('a not-before added later makes a token that lives too long no shorter', async () => {
  const tooOld = narrow(everywhere, ['not-before = 2020-01-01T00:00:00Z']);
  for (const token of [tooOld, narrow(tooOld, [`not-before = ${inFuture(-HOUR_MS)}`]), narrow(narrow(everywhere, [`not-before = ${inFuture(-HOUR_MS)}`]), ['not-before = 2020-01-01T00:00:00Z'])]) {
    expect(await reachOf(token)).toEqual(new Set());
  }
});
