import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { scopes } from '../../src/core/macaroon/caveats.ts';
import { call, createKey, everything, inFuture, startService, tokenOf } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);
const ofA = tokenOf({ caveats: everything('aaa') });
const ofB = tokenOf({ caveats: everything('bbb') });
const ofAll = tokenOf({ caveats: everything('*') });

let service: TestService;
let a: Tenant;
let b: Tenant;

interface Tenant {
  readonly signer: string;
  readonly kem: string;
  readonly sigs: unknown;
  readonly wrapped: string;
}

beforeAll(async () => {
  service = await startService();
  [a, b] = await Promise.all([furnish('aaa', ofA), furnish('bbb', ofB)]);
});
afterAll(async () => { await service.stop(); });

async function furnish(tenant: string, token: string): Promise<Tenant> {
  const { kid: signer } = await createKey(service, { tenant, alg: 'ed25519' }, token);
  const { kid: kem } = await createKey(service, { tenant, purpose: 'kem-x', alg: 'x25519' }, token);
  const { sigs } = (await call(service, 'POST', '/sign', { kid: signer, payload_b3: DIGEST }, token)).body;
  const { wrapped_b64: wrapped } = (await call(service, 'POST', '/wrap', { kid: kem, size: 32 }, token)).body;
  return { signer, kem, sigs, wrapped };
}

/** Every call about a key, as [method, path, body]; `envelope` is one that names the kid. */
function callsAbout(kid: string, sigs: unknown, envelope: string): readonly (readonly [string, string, unknown])[] {
  const path = `/keys/${encodeURIComponent(kid)}`;
  return [
    ['GET', path, undefined],
    ['PATCH', path, { labels: {} }],
    ...['rotate', 'disable', 'enable', 'destroy', 'restore'].map((action) => ['POST', `${path}/${action}`, {}] as const),
    ['POST', '/sign', { kid, payload_b3: DIGEST }],
    ['POST', '/verify', { kid, payload_b3: DIGEST, sigs }],
    ['POST', '/wrap', { kid, size: 32 }],
    ['POST', '/unwrap', { wrapped_b64: envelope }],
    ['POST', '/rewrap', { wrapped_b64: envelope }],
  ];
}

const item = (kid: string): object => ({ kid, payload_b3: DIGEST });
const narrowed = (...more: readonly string[]): string => tokenOf({ caveats: [...everything('aaa'), ...more] });
const sign = (token: string, kid = a.signer): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, token);

/** The base of a fresh key with three versions. */
const threeVersions = async (): Promise<string> => {
  const { kid } = await createKey(service, { tenant: 'aaa', alg: 'ed25519' }, ofA);
  const fresh = kid.split('#')[0];
  for (let i = 0; i < 2; i++) await call(service, 'POST', `/keys/${encodeURIComponent(fresh)}/rotate`, {}, ofA);
  return fresh;
};
const move = (action: string, kid: string, token: string): Promise<Answer> => call(service, 'POST', `/keys/${encodeURIComponent(kid)}/${action}`, {}, token);
const statesOf = async (kid: string): Promise<readonly string[]> =>
  (await call(service, 'GET', `/keys/${encodeURIComponent(kid)}`, undefined, ofA)).body['versions'].map(({ state }: { state: string }) => state);

/** A refusal without what differs from request to request. */
function faceOf({ status, headers, body }: Answer): unknown {
  const { ts: _, request_id: __, ...error } = body['error'] ?? {};
  return { status, error, headers: [...headers.keys()].toSorted(), length: headers.get('content-length') };
}

const absent = (kid: string): string => kid.replace(/-7[0-9a-f]{3}-/, (part) => (part === '-7000-' ? '-7001-' : '-7000-'));

/** The envelope with its kid replaced by one of the same length. */
function renamed(envelope: string, kid: string): string {
  const bytes = Buffer.from(envelope, 'base64');
  bytes.write(kid, 12, 'latin1');
  return bytes.toString('base64');
}

describe('a token of one tenant', () => {
  test('reaches none of another tenant\'s keys by any call, and cannot tell which of them exist', async () => {
    const there = [...callsAbout(b.signer, b.sigs, b.wrapped), ...callsAbout(b.kem, b.sigs, b.wrapped)];
    const notThere = [...callsAbout(absent(b.signer), b.sigs, renamed(b.wrapped, absent(b.kem))), ...callsAbout(absent(b.kem), b.sigs, renamed(b.wrapped, absent(b.kem)))];
    for (const [i, [method, path, body]] of there.entries()) {
      const [otherMethod = '', otherPath = '', otherBody] = notThere[i] ?? [];
      const real = await call(service, method, path, body, ofA);
      const unreal = await call(service, otherMethod, otherPath, otherBody, ofA);
      expect({ path, status: real.status, code: real.body['error']?.code }).toEqual({ path, status: 403, code: 'NoCapability' });
      expect(faceOf(unreal)).toEqual(faceOf(real));
    }
    // All of it was in vain: the keys are as they were.
    expect((await call(service, 'GET', `/keys/${encodeURIComponent(b.signer)}`, undefined, ofB)).body).toMatchObject({ kid: b.signer, state: 'enabled', current_version: 1 });
  });

  test('is told 404 of its own key that is not there, by every call', async () => {
    for (const [method, path, body] of callsAbout(absent(a.signer), a.sigs, renamed(a.wrapped, absent(a.kem)))) {
      const { status, body: answer } = await call(service, method, path, body, ofA);
      expect({ path, status, code: answer['error']?.code }).toEqual({ path, status: 404, code: 'NotFound' });
    }
    for (const kid of [`${a.signer.split('#')[0]}#v2`, `${a.signer.split('#')[0]}#v999999999`]) {
      expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, ofA)).status).toBe(404);
      expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: a.sigs }, ofA)).status).toBe(404);
      expect((await call(service, 'GET', `/keys/${encodeURIComponent(kid)}`, undefined, ofA)).status).toBe(404);
    }
  });

  test('creates no key for another', async () => {
    expect((await call(service, 'POST', '/keys', { tenant: 'bbb', purpose: 'audit' }, ofA)).status).toBe(403);
  });

  test('lists its own keys only, whatever it filters by', async () => {
    for (const query of ['', '?limit=1000', '?tenant=aaa', '?alg=ed25519', '?state=enabled', '?purpose=audit']) {
      const { body } = await call(service, 'GET', `/keys${query}`, undefined, ofA);
      expect(body['keys'].length, query).toBeGreaterThan(0);
      expect(body['keys'].every(({ tenant }: { tenant: string }) => tenant === 'aaa'), query).toBe(true);
    }
    const { body } = await call(service, 'GET', '/keys?tenant=bbb', undefined, ofA);
    expect(body['keys'] ?? []).toEqual([]);
  });

  test('gets nothing of another tenant by that tenant\'s cursor, nor by one of all tenants', async () => {
    for (const token of [ofB, ofAll]) {
      const { next_cursor: cursor } = (await call(service, 'GET', '/keys?limit=1', undefined, token)).body;
      expect(cursor).toBeTypeOf('string');
      const { body } = await call(service, 'GET', `/keys?limit=1000&cursor=${cursor}`, undefined, ofA);
      expect((body['keys'] ?? []).filter(({ tenant }: { tenant: string }) => tenant !== 'aaa')).toEqual([]);
      expect(body['next_cursor']).toBeUndefined();
    }
  });

  test('verifies with no kid_set in which one is not its own, wherever it stands', async () => {
    const request = { payload_b3: DIGEST, sigs: a.sigs };
    expect((await call(service, 'POST', '/verify', { kid_set: [a.signer], ...request }, ofA)).body['ok']).toBe(true);
    for (const kids of [[a.signer, b.signer], [b.signer, a.signer], [a.signer, absent(b.signer)]]) {
      const { status, body } = await call(service, 'POST', '/verify', { kid_set: kids, ...request }, ofA);
      expect({ status, code: body['error']?.code }).toEqual({ status: 403, code: 'NoCapability' });
    }
  });

  test('gets in a batch its own items done and the foreign ones refused, in order', async () => {
    const signed = await call(service, 'POST', '/sign/batch', { items: [item(a.signer), item(b.signer), item(absent(a.signer)), item(a.signer)] }, ofA);
    expect(signed.status).toBe(200);
    expect(signed.body['items'].map((one: any) => one.error?.code ?? one.kid)).toEqual([a.signer, 'NoCapability', 'NotFound', a.signer]);
    const verified = await call(service, 'POST', '/verify/batch', { items: [{ ...item(b.signer), sigs: b.sigs }, { ...item(a.signer), sigs: a.sigs }] }, ofA);
    expect(verified.body['items'].map((one: any) => one.error?.code ?? one.ok)).toEqual(['NoCapability', true]);
  });

  test('never learns from unwrap what an envelope of another tenant holds, nor by claiming it for its own kid', async () => {
    for (const body of [{ wrapped_b64: b.wrapped }, { wrapped_b64: b.wrapped, kid: b.kem }, { wrapped_b64: b.wrapped, kid: a.kem }, { wrapped_b64: renamed(b.wrapped, a.kem) }]) {
      const { status, body: answer } = await call(service, 'POST', '/unwrap', body, ofA);
      expect([400, 403]).toContain(status);
      expect(['UnwrapFailed', 'NoCapability']).toContain(answer['error'].code);
    }
  });
});

describe('the tenant ron-kms is the service\'s own', () => {
  test('no call reaches it, whatever the token says', async () => {
    const kid = `ron-kms/audit/ed25519/${a.signer.split('/')[3]}`;
    const envelope = renamed(a.wrapped, `ron-kms/x/x25519/${a.signer.split('/')[3]}`);
    for (const token of [ofAll, tokenOf({ caveats: everything('ron-kms') })]) {
      for (const [method, path, body] of callsAbout(kid, a.sigs, envelope)) {
        const { status } = await call(service, method, path, body, token);
        expect({ path, isRefused: path.includes('wrap') ? [400, 403].includes(status) : status === 403 }).toEqual({ path, isRefused: true });
      }
      expect((await call(service, 'POST', '/keys', { tenant: 'ron-kms', purpose: 'audit' }, token)).status).toBe(403);
      const listed = await call(service, 'GET', '/keys?tenant=ron-kms', undefined, token);
      expect(listed.body['keys'] ?? []).toEqual([]);
    }
  });
});

describe('each caveat is held against what is asked', () => {
  test.each<[string, string]>([
    ['another purpose', 'purpose = other'], ['another alg', 'alg = ml-dsa'], ['a part of the alg', 'alg = ed25519+ml-dsa'], ['another tenant', 'tenant = bbb'],
    ['another kid', 'kid = aaa/audit/ed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b'], ['a scope less', 'scope = kms:read'],
  ])('%s is 403', async (_name, caveat) => {
    const { status, body } = await sign(narrowed(caveat));
    expect({ status, code: body['error']?.code }).toEqual({ status: 403, code: 'NoCapability' });
  });

  test('repeats narrow: two that contradict leave nothing', async () => {
    expect((await sign(narrowed('purpose = audit', 'purpose = audit'))).status).toBe(200);
    for (const pair of [['purpose = audit', 'purpose = other'], ['tenant = *', 'tenant = bbb'], ['scope = kms:sign', 'scope = kms:read'], ['alg = ed25519', 'alg = ml-dsa'], [`kid = ${a.signer}`, `kid = ${a.kem}`]]) {
      expect((await sign(narrowed(...pair))).status, pair.join()).toBe(403);
    }
  });

  test('a kid caveat admits its key, denies the others and denies create', async () => {
    const token = narrowed(`kid = ${a.signer.split('#')[0]}`);
    expect((await sign(token)).status).toBe(200);
    expect((await call(service, 'POST', '/wrap', { kid: a.kem, size: 16 }, token)).status).toBe(403);
    expect((await call(service, 'POST', '/keys', { tenant: 'aaa', purpose: 'audit' }, token)).status).toBe(403);
    expect((await call(service, 'GET', '/keys', undefined, token)).body['keys'].map(({ kid }: { kid: string }) => kid)).toEqual([a.signer]);
  });

  test('alg and purpose caveats hold for create, for the list, and for the algorithm that is chosen by default', async () => {
    const token = narrowed('alg = ed25519', 'purpose = audit');
    expect((await call(service, 'POST', '/keys', { tenant: 'aaa', purpose: 'audit', alg: 'ed25519' }, token)).status).toBe(201);
    expect((await call(service, 'POST', '/keys', { tenant: 'aaa', purpose: 'audit' }, token)).status).toBe(403);
    expect((await call(service, 'POST', '/keys', { tenant: 'aaa', purpose: 'other', alg: 'ed25519' }, token)).status).toBe(403);
    const { body } = await call(service, 'GET', '/keys', undefined, token);
    expect(new Set(body['keys'].map(({ alg, purpose }: Record<string, string>) => `${purpose} ${alg}`))).toEqual(new Set(['audit ed25519']));
  });

  test('every call wants its own scope, and is content with it', async () => {
    const { kid, sigs, wrapped } = { kid: a.signer, sigs: a.sigs, wrapped: a.wrapped };
    const path = `/keys/${encodeURIComponent(kid)}`;
    const wanted: readonly (readonly [string, string, unknown, string])[] = [
      ['POST', '/keys', { tenant: 'aaa', purpose: 'audit', alg: 'ed25519' }, 'kms:rotate'],
      ['GET', path, undefined, 'kms:read'], ['GET', '/keys', undefined, 'kms:read'],
      ['PATCH', path, { labels: {} }, 'kms:rotate'], ['POST', `${path}/rotate`, {}, 'kms:rotate'],
      ['POST', `${path}/disable`, {}, 'kms:destroy'], ['POST', `${path}/enable`, {}, 'kms:destroy'],
      ['POST', `${path}/destroy`, {}, 'kms:destroy'], ['POST', `${path}/restore`, {}, 'kms:destroy'],
      ['POST', '/sign', { kid, payload_b3: DIGEST }, 'kms:sign'], ['POST', '/verify', { kid, payload_b3: DIGEST, sigs }, 'kms:verify'],
      ['POST', '/wrap', { kid: a.kem, size: 16 }, 'kms:wrap'], ['POST', '/unwrap', { wrapped_b64: wrapped }, 'kms:unwrap'], ['POST', '/rewrap', { wrapped_b64: wrapped }, 'kms:rewrap'],
    ];
    for (const [method, at, body, scope] of wanted) {
      const without = scopes.filter((one) => one !== scope && !(scope === 'kms:rewrap' && one === 'kms:wrap'));
      expect((await call(service, method, at, body, narrowed(`scope = ${without.join(',')}`))).status, `${method} ${at} without ${scope}`).toBe(403);
      expect([200, 201], `${method} ${at} with ${scope}`).toContain((await call(service, method, at, body, narrowed(`scope = ${scope}`))).status);
    }
    for (const [pair, status] of [['kms:wrap,kms:unwrap', 200], ['kms:wrap', 403], ['kms:unwrap', 403]] as const) {
      expect((await call(service, 'POST', '/rewrap', { wrapped_b64: wrapped }, narrowed(`scope = ${pair}`))).status, pair).toBe(status);
    }
  });

  test('a private key is never exported, whoever asks', async () => {
    for (const kid of [a.signer, b.signer, absent(a.signer)]) {
      for (const name of ['private', 'export']) {
        for (const path of [encodeURIComponent(kid), kid.replace('#', '%23')]) {
          const { status, body } = await call(service, 'GET', `/keys/${path}/${name}`, undefined, narrowed('scope = kms:read'));
          expect({ status, code: body['error']?.code }).toEqual({ status: 403, code: 'ExportForbidden' });
        }
      }
    }
  });
});

describe('a token for one version of a key', () => {
  let base: string;
  const forVersion = (version: number, kid = base): string => tokenOf({ caveats: [...everything('aaa'), `kid = ${kid}#v${version}`] });

  beforeAll(async () => { base = await threeVersions(); });

  test('signs with that version and no other; the key without a version is its current one', async () => {
    expect((await sign(forVersion(1), `${base}#v1`)).status).toBe(200);
    expect((await sign(forVersion(1), `${base}#v2`)).status).toBe(403);
    expect((await sign(forVersion(1), `${base}#v9`)).status).toBe(403);
    expect((await sign(forVersion(1), base)).status).toBe(403);
    expect((await sign(forVersion(3), base)).status).toBe(200);
    expect((await sign(forVersion(9), `${base}#v9`)).status).toBe(404);
  });

  test('verifies signatures of that version only', async () => {
    for (const version of [1, 2]) {
      const { sigs } = (await call(service, 'POST', '/sign', { kid: `${base}#v${version}`, payload_b3: DIGEST }, ofA)).body;
      const { body } = await call(service, 'POST', '/verify', { kid: base, payload_b3: DIGEST, sigs }, forVersion(1));
      expect({ version, ok: body['ok'] }).toEqual({ version, ok: version === 1 });
      expect(body['details'].checked.every(({ kid }: { kid: string }) => kid === `${base}#v1`)).toBe(true);
    }
  });

  test('sees that version only', async () => {
    for (const path of [`/keys/${encodeURIComponent(base)}`, '/keys']) {
      const { body } = await call(service, 'GET', path, undefined, forVersion(1));
      const document = body['keys']?.[0] ?? body;
      expect(document.versions.map(({ version }: { version: number }) => version)).toEqual([1]);
    }
  });

  test('that is not there sees nothing of the key, by whatever name', async () => {
    const kid = await threeVersions();
    for (const name of [kid, `${kid}#v1`]) expect((await call(service, 'GET', `/keys/${encodeURIComponent(name)}`, undefined, forVersion(9, kid))).status).toBe(403);
  });

  test.each(['disable', 'destroy'])('%s of the whole key leaves the versions alone that the token does not admit', async (action) => {
    const kid = await threeVersions();
    await move(action, kid, forVersion(3, kid));
    expect((await statesOf(kid)).slice(0, 2)).toEqual(['enabled', 'enabled']);
  });

  test.each([['disable', 'enable', 'disabled'], ['destroy', 'restore', 'scheduled']])('what others did by %s it cannot undo by %s on versions that it does not admit', async (done, undone, state) => {
    const kid = await threeVersions();
    await move(done, kid, ofA);
    await move(undone, kid, forVersion(3, kid));
    expect((await statesOf(kid)).slice(0, 2)).toEqual([state, state]);
  });

  test('moves its own version when it names it, and no other when it names that', async () => {
    const kid = await threeVersions();
    expect((await move('disable', `${kid}#v2`, forVersion(2, kid))).status).toBe(200);
    expect((await move('disable', `${kid}#v1`, forVersion(2, kid))).status).toBe(403);
    expect(await statesOf(kid)).toEqual(['enabled', 'disabled', 'enabled']);
  });
});

test('a token that expires soon is refused once it has', async () => {
  // Its time is held against the clock with the tolerance of 2 s, so it is dated back by that.
  const token = tokenOf({ caveats: [...everything('aaa'), `expires = ${inFuture(-1600)}`] });
  expect((await call(service, 'GET', '/token', undefined, token)).status).toBe(200);
  await expect.poll(async () => (await call(service, 'GET', '/token', undefined, token)).status, { timeout: 3000, interval: 50 }).toBe(401);
});
