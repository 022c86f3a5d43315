import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { logUntilNow } from '../harness/log.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey, startService } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);
const DAY_MS = 86_400_000;

let service: TestService;
beforeAll(async () => { service = await startService({ flags: ['--keys-destroy-min-after', '100ms'] }); });
afterAll(async () => { await service.stop(); });

const at = (kid: string, action = ''): string => `/keys/${encodeURIComponent(kid)}${action}`;
const move = (kid: string, action: string, body: object = {}): Promise<Answer> => call(service, 'POST', at(kid, `/${action}`), body);
const read = async (kid: string): Promise<Record<string, any>> => (await call(service, 'GET', at(kid))).body;
const states = async (kid: string): Promise<readonly string[]> => (await read(kid))['versions'].map(({ state }: { state: string }) => state);
const verdict = ({ status, body }: Answer): string => (status < 300 ? 'done' : `${status} ${body['error'].code}`);
const numberOf = (kid: string): number => Number(kid.split('#v')[1]);
const baseOf = (kid: string): string => kid.split('#')[0] ?? '';

const KEY_STATE = '409 KeyState';
const stateNames = ['enabled', 'disabled', 'scheduled', 'destroyed'] as const;
type State = (typeof stateNames)[number];

interface Used {
  readonly signer: string;
  readonly sigs: unknown;
  readonly kem: string;
  readonly wrapped: string;
}

/** A signing and a KEM key that were used while they were enabled, and are now in the state. */
async function keysIn(state: State): Promise<Used> {
  const [{ kid: signer }, { kid: kem }] = await Promise.all([createKey(service, { alg: 'ed25519+ml-dsa' }), createKey(service, { purpose: 'kem-x' })]);
  const { sigs } = (await call(service, 'POST', '/sign', { kid: signer, payload_b3: DIGEST })).body;
  const { wrapped_b64: wrapped } = (await call(service, 'POST', '/wrap', { kid: kem, size: 32 })).body;
  for (const kid of [signer, kem]) {
    if (state === 'disabled') await move(kid, 'disable');
    if (state === 'scheduled') await move(kid, 'destroy', { after: '7d' });
    if (state === 'destroyed') await move(kid, 'destroy', { after: '100ms' });
    await eventually(`the key is ${state}`, 5000, async () => (await states(kid)).every((one) => one === state));
  }
  return { signer: baseOf(signer), sigs, kem: baseOf(kem), wrapped };
}

/** What each call on a key says in each state; undefined where the contract leaves it open. */
const uses: Readonly<Record<string, { readonly run: (keys: Used) => Promise<Answer>; readonly says: Readonly<Record<State, string | undefined>> }>> = {
  sign: { run: ({ signer }) => call(service, 'POST', '/sign', { kid: signer, payload_b3: DIGEST }), says: { enabled: 'done', disabled: KEY_STATE, scheduled: KEY_STATE, destroyed: KEY_STATE } },
  verify: { run: ({ signer, sigs }) => call(service, 'POST', '/verify', { kid: signer, payload_b3: DIGEST, sigs }), says: { enabled: 'done', disabled: KEY_STATE, scheduled: 'done', destroyed: 'done' } },
  'verify by its version': { run: ({ signer, sigs }) => call(service, 'POST', '/verify', { kid: `${signer}#v1`, payload_b3: DIGEST, sigs, policy: { mode: 'and' } }), says: { enabled: 'done', disabled: KEY_STATE, scheduled: 'done', destroyed: 'done' } },
  wrap: { run: ({ kem }) => call(service, 'POST', '/wrap', { kid: kem, size: 16 }), says: { enabled: 'done', disabled: KEY_STATE, scheduled: KEY_STATE, destroyed: KEY_STATE } },
  unwrap: { run: ({ wrapped }) => call(service, 'POST', '/unwrap', { wrapped_b64: wrapped }), says: { enabled: 'done', disabled: KEY_STATE, scheduled: KEY_STATE, destroyed: KEY_STATE } },
  rewrap: { run: ({ wrapped }) => call(service, 'POST', '/rewrap', { wrapped_b64: wrapped }), says: { enabled: 'done', disabled: KEY_STATE, scheduled: KEY_STATE, destroyed: KEY_STATE } },
  read: { run: ({ signer }) => call(service, 'GET', at(signer)), says: { enabled: 'done', disabled: 'done', scheduled: 'done', destroyed: 'done' } },
  rotate: { run: ({ signer }) => move(signer, 'rotate'), says: { enabled: 'done', disabled: KEY_STATE, scheduled: KEY_STATE, destroyed: KEY_STATE } },
};

const moves: Readonly<Record<string, Readonly<Record<State, string | undefined>>>> = {
  disable: { enabled: 'done', disabled: undefined, scheduled: KEY_STATE, destroyed: KEY_STATE },
  enable: { enabled: undefined, disabled: 'done', scheduled: KEY_STATE, destroyed: KEY_STATE },
  destroy: { enabled: 'done', disabled: 'done', scheduled: KEY_STATE, destroyed: KEY_STATE },
  restore: { enabled: KEY_STATE, disabled: KEY_STATE, scheduled: 'done', destroyed: KEY_STATE },
};

describe.concurrent('what a key may be used for', () => {
  test.each(stateNames)('while it is %s', async (state) => {
    const keys = await keysIn(state);
    for (const [name, { run, says }] of Object.entries(uses)) {
      expect(`${name}: ${verdict(await run(keys))}`).toBe(`${name}: ${says[state]}`);
    }
  });

  test.each(stateNames)('where it can go from %s, a whole key and one version alike', async (state) => {
    for (const [action, says] of Object.entries(moves)) {
      if (says[state] === undefined) continue;
      for (const whole of [true, false]) {
        // The destroyed ones are slow to come by and go nowhere, so one does for all.
        const { signer } = state === 'destroyed' ? await destroyedOnce() : await keysIn(state);
        const before = await states(signer);
        expect(`${action}: ${verdict(await move(whole ? signer : `${signer}#v1`, action))}`).toBe(`${action}: ${says[state]}`);
        if (says[state] !== 'done') expect(await states(signer)).toEqual(before);
      }
    }
  });
});

let destroyed: Promise<Used> | undefined;
const destroyedOnce = (): Promise<Used> => (destroyed ??= keysIn('destroyed'));

describe.concurrent('destruction', () => {
  test('takes 7 days unless another time is asked for, and says when', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const [byDefault] = (await move(kid, 'destroy')).body['versions'];
    expect(Date.parse(byDefault.destroy_at) - Date.now()).toBeGreaterThan(7 * DAY_MS - 60_000);
    expect(Date.parse(byDefault.destroy_at) - Date.now()).toBeLessThanOrEqual(7 * DAY_MS);
    const [restored] = (await move(kid, 'restore')).body['versions'];
    expect(restored).toMatchObject({ state: 'enabled' });
    expect(restored.destroy_at).toBeUndefined();
    const [asked] = (await move(kid, 'destroy', { after: '2d' })).body['versions'];
    expect(Math.round((Date.parse(asked.destroy_at) - Date.now()) / DAY_MS)).toBe(2);
  });

  test.each(['99ms', '0s', '0ms', '3651d', '3650d1ms'])('in less than the least time or more than ten years, %s, is refused', async (after) => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    expect(verdict(await move(kid, 'destroy', { after }))).toBe('400 BadRequest');
    expect(await states(kid)).toEqual(['enabled']);
  });

  test('undone gives back the state before: a disabled key stays disabled', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    await move(kid, 'disable');
    await move(kid, 'destroy');
    expect((await move(kid, 'restore')).body['state']).toBe('disabled');
    expect(verdict(await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }))).toBe(KEY_STATE);
  });

  test('of one version leaves the others at work, and what that one signed still verifies', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const base = baseOf(kid);
    const { sigs } = (await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body;
    await move(base, 'rotate');
    await move(`${base}#v1`, 'destroy', { after: '100ms' });
    await eventually('the version is destroyed', 5000, async () => (await states(base))[0] === 'destroyed');
    expect(await states(base)).toEqual(['destroyed', 'enabled']);
    expect(verdict(await call(service, 'POST', '/sign', { kid: `${base}#v1`, payload_b3: DIGEST }))).toBe(KEY_STATE);
    expect(verdict(await call(service, 'POST', '/sign', { kid: base, payload_b3: DIGEST }))).toBe('done');
    expect((await call(service, 'POST', '/verify', { kid: base, payload_b3: DIGEST, sigs })).body['ok']).toBe(true);
  });

  test('keeps the public part, still verifies what was signed and says no to what was not, and is for ever', async () => {
    const { signer, sigs } = await destroyedOnce();
    const document = await read(signer);
    expect(document['versions'][0]).toMatchObject({ state: 'destroyed', public: [{ alg: 'ed25519', pubkey_b64: expect.any(String) }, { alg: 'ml-dsa', pubkey_b64: expect.any(String) }] });
    const verify = async (digest: string): Promise<unknown> => (await call(service, 'POST', '/verify', { kid: signer, payload_b3: digest, sigs, policy: { mode: 'and' } })).body['ok'];
    expect([await verify(DIGEST), await verify('1'.repeat(64))]).toEqual([true, false]);
    for (const action of ['restore', 'enable', 'rotate']) expect(verdict(await move(signer, action))).toBe(KEY_STATE);
    // Nor does the service find the private part for anybody who asks by version.
    expect(verdict(await call(service, 'POST', '/sign', { kid: `${signer}#v1`, payload_b3: DIGEST }))).toBe(KEY_STATE);
  });

  test('restored in time is never carried out', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    await move(kid, 'destroy', { after: '1500ms' });
    expect(verdict(await move(kid, 'restore'))).toBe('done');
    const { kid: witness } = await createKey(service, { alg: 'ed25519' });
    await move(witness, 'destroy', { after: '1600ms' });
    await eventually('a destruction of later is carried out', 6000, async () => (await states(witness))[0] === 'destroyed');
    expect(await states(kid)).toEqual(['enabled']);
    expect(verdict(await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }))).toBe('done');
  });
});

describe.concurrent('rotation', () => {
  test('a hundred at once make a hundred versions without a hole, each with a key of its own', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const base = baseOf(kid);
    const answers = await Promise.all(Array.from({ length: 100 }, () => move(base, 'rotate')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(answers.map(({ body }) => numberOf(body['kid'])).toSorted((x, y) => x - y)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
    expect(answers.every(({ body }) => numberOf(body['previous']) === numberOf(body['kid']) - 1)).toBe(true);
    const { versions, current_version: current } = await read(base);
    expect(versions.map(({ version }: { version: number }) => version)).toEqual(Array.from({ length: 101 }, (_, i) => i + 1));
    expect(current).toBe(101);
    expect(new Set(versions.flatMap((one: any) => one.public.map(({ pubkey_b64: key }: Record<string, string>) => key))).size).toBe(101);
  });

  test('while signing goes on, every signature verifies under the version it names, and no other', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519+ml-dsa' });
    const base = baseOf(kid);
    const signed: { readonly digest: string; readonly body: Record<string, any> }[] = [];
    const rotations = { areDone: false };
    const signers = Array.from({ length: 4 }, async () => {
      while (!rotations.areDone) {
        const digest = signed.length.toString(16).padStart(64, '0');
        signed.push({ digest, body: (await call(service, 'POST', '/sign', { kid: base, payload_b3: digest })).body });
      }
    });
    for (let i = 0; i < 10; i++) await move(base, 'rotate');
    rotations.areDone = true;
    await Promise.all(signers);
    expect(new Set(signed.map(({ body }) => body['kid'])).size).toBeGreaterThan(5);
    for (const { digest, body } of signed) {
      const verify = async (by: string): Promise<Record<string, any>> => (await call(service, 'POST', '/verify', { kid: by, payload_b3: digest, sigs: body['sigs'], policy: { mode: 'and' } })).body;
      expect((await verify(body['kid']))['ok']).toBe(true);
      const other = `${base}#v${body['kid'].endsWith('#v1') ? 2 : 1}`;
      expect((await verify(other))['ok']).toBe(false);
    }
  });

  test('signs with the newest version from the moment it was answered', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519' });
    for (let i = 2; i < 8; i++) {
      const { body } = await move(kid.split('#')[0], 'rotate');
      expect(body).toEqual({ kid: `${baseOf(kid)}#v${i}`, previous: `${baseOf(kid)}#v${i - 1}` });
      expect((await call(service, 'POST', '/sign', { kid: baseOf(kid), payload_b3: DIGEST })).body['kid']).toBe(body['kid']);
    }
    expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body['kid']).toBe(kid);
  });

  test('by schedule is done by the service itself, until the schedule is taken away', async () => {
    const { kid, rotate_after: shown } = await createKey(service, { alg: 'ed25519', rotate_after: '1s' });
    expect(shown).toBe('1s');
    await eventually('the service has rotated the key twice', 8000, async () => (await read(kid))['current_version'] >= 3);
    const patched = await call(service, 'PATCH', at(baseOf(kid)), { rotate_after: null });
    expect(patched.body['rotate_after']).toBeUndefined();
    const { current_version: then } = await read(kid);
    // Another key's turn comes and goes meanwhile.
    const { kid: witness } = await createKey(service, { alg: 'ed25519', rotate_after: '1s' });
    await eventually('another key is rotated', 5000, async () => (await read(witness))['current_version'] >= 2);
    expect((await read(kid))['current_version']).toBe(then);
    await call(service, 'PATCH', at(baseOf(witness)), { rotate_after: null });
  });

  test('by schedule leaves a disabled key alone', async () => {
    const { kid } = await createKey(service, { alg: 'ed25519', rotate_after: '1s' });
    await move(kid, 'disable');
    const { kid: witness } = await createKey(service, { alg: 'ed25519', rotate_after: '1s' });
    await eventually('another key is rotated', 5000, async () => (await read(witness))['current_version'] >= 2);
    expect((await read(kid))['current_version']).toBe(1);
    await call(service, 'PATCH', at(baseOf(witness)), { rotate_after: null });
  });

  test.each(['0s', '1ms', '999ms', '-1s', '1', '1w', 'P1D', '1.5h', '99999999d'])('%s is no schedule', async (after) => {
    expect((await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit', rotate_after: after })).status).toBe(400);
  });
});

test('labels are replaced as a set, and what is not sent stays', async () => {
  const { kid, labels } = await createKey(service, { alg: 'ed25519', labels: { a: '1', b: '2' }, rotate_after: '30d' });
  expect(labels).toEqual({ a: '1', b: '2' });
  const patched = (await call(service, 'PATCH', at(baseOf(kid)), { labels: { c: '' } })).body;
  expect(patched).toMatchObject({ labels: { c: '' }, rotate_after: '30d' });
  expect((await call(service, 'PATCH', at(baseOf(kid)), { rotate_after: '36h' })).body).toMatchObject({ labels: { c: '' }, rotate_after: '36h' });
  expect((await call(service, 'PATCH', at(baseOf(kid)), { labels: {} })).body['labels']).toEqual({});
  const most = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`l${i}`, '😀'.repeat(256)]));
  expect((await call(service, 'PATCH', at(baseOf(kid)), { labels: most })).body['labels']).toEqual(most);
  expect((await call(service, 'PATCH', at(baseOf(kid)), {})).status).toBe(400);
});

test('policy hints are taken and never given back', async () => {
  const document = await createKey(service, { alg: 'ed25519', policy_hints: { secretive: 'zq7hint', __proto__: { a: 1 } } });
  expect(JSON.stringify([document, await read(document['kid'])])).not.toContain('zq7hint');
  expect((await logUntilNow(service)).includes('zq7hint')).toBe(false);
});
