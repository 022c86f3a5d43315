import type { Caveats, Scope } from '../../src/core/macaroon/caveats.ts';
import { describe, expect, test } from 'vitest';
import { parseKid } from '../../src/core/key/kid.ts';
import { makeAuthorise } from '../../src/service/authorise.ts';
import { callerOf, clientCall } from '../harness/caller.ts';
import { keyRecord } from '../harness/key-record.ts';

const BASE = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';
const KEY = keyRecord(BASE, {}, {}, {});
const kid = (text: string) => parseKid(text) ?? expect.unreachable(`${text} is a kid`);

/** A store with one key; says what was looked for, and how often a rate was charged. */
function open() {
  const seen = { found: [] as string[], charged: 0 };
  const authorise = makeAuthorise({
    store: { find: async (base: string) => {
      seen.found.push(base);
      return base === BASE ? KEY : undefined;
    } } as never,
    rates: { chargeCaveats: () => { seen.charged++; } } as never,
  });
  return { seen, authorise };
}

const codeOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'ok', (fault: { code: string }) => fault.code);
const scoped = (...names: readonly Scope[]): Partial<Caveats> => ({ scopes: new Set(names) });

describe('scopes', () => {
  test.each([
    ['one', 'kms:sign', ['kms:sign'], true], ['one that it lacks', 'kms:sign', ['kms:verify'], false], ['none', 'kms:sign', [], false],
    ['the first of several', ['kms:rewrap', 'kms:wrap', 'kms:unwrap'], ['kms:rewrap'], true],
    ['all the others', ['kms:rewrap', 'kms:wrap', 'kms:unwrap'], ['kms:wrap', 'kms:unwrap'], true],
    ['one of the others', ['kms:rewrap', 'kms:wrap', 'kms:unwrap'], ['kms:unwrap'], false],
    ['a list of one', ['kms:rewrap'], ['kms:rewrap'], true], ['a list of one that it lacks', ['kms:rewrap'], ['kms:wrap'], false],
    ['a list of none', [], ['kms:sign'], false],
  ] as const)('%s', (_, needed, held, isAdmitted) => {
    const { authorise, seen } = open();
    const enter = (): void => { authorise.any(callerOf({ caveats: scoped(...held) }), needed); };
    if (isAdmitted) expect(enter).not.toThrow();
    else expect(enter).toThrow(expect.objectContaining({ code: 'NoCapability', hint: 'the token lacks the scope for this call' }));
    expect(seen.charged).toBe(isAdmitted ? 1 : 0);
  });
});

describe('a key', () => {
  test('that the token is not for is not looked for, whether it is there or not, and costs nothing', async () => {
    for (const caveats of [scoped('kms:verify'), { tenants: ['other'] }, { purposes: ['other'] }, { algs: ['ml-dsa'] }, { kids: [kid(BASE.replace('0001', '0002'))] }, { kids: [kid(`${BASE}#v1`)] }]) {
      const { authorise, seen } = open();
      expect(await codeOf(authorise.version(clientCall('sign', caveats), 'kms:sign', kid(`${BASE}#v2`)))).toBe('NoCapability');
      expect(await codeOf(authorise.versions(clientCall('sign', caveats).caller, 'kms:sign', kid(`${BASE}#v2`)))).toBe('NoCapability');
      expect(seen).toEqual({ found: [], charged: 0 });
    }
  });

  test('of the service itself is nobody\'s', async () => {
    const { authorise, seen } = open();
    const own = kid(BASE.replace('core', 'ron-kms'));
    expect(await codeOf(authorise.version(clientCall('sign', { tenants: [] }), 'kms:sign', own))).toBe('NoCapability');
    expect(() => authorise.name(clientCall('sign', { tenants: [] }), 'kms:rotate', { tenant: 'ron-kms', purpose: 'a', alg: 'ed25519' })).toThrow(expect.objectContaining({ code: 'NoCapability' }));
    expect(seen.found).toEqual([]);
  });

  test('that is not there, or not in that version, is not found', async () => {
    const { authorise } = open();
    for (const text of [BASE.replace('0001', '0002'), `${BASE}#v4`]) {
      expect(await codeOf(authorise.version(clientCall('sign', {}), 'kms:sign', kid(text)))).toBe('NotFound');
      expect(await codeOf(authorise.versions(clientCall('sign', {}).caller, 'kms:sign', kid(text)))).toBe('NotFound');
    }
  });

  test('is meant in its current version, or in the one that is named; the call is about it', async () => {
    for (const [text, version] of [[BASE, 3], [`${BASE}#v3`, 3], [`${BASE}#v1`, 1]] as const) {
      const { authorise } = open();
      const call = clientCall('sign', {});
      expect((await authorise.version(call, 'kms:sign', kid(text))).version.version).toBe(version);
      expect([call.subject?.version.version, call.admitted?.tenant]).toEqual([version, 'core']);
      expect(authorise.current(call, KEY).version.version).toBe(3);
      expect(call.subject?.version.version).toBe(3);
    }
  });
});

describe('a token for one version', () => {
  const caveats = { kids: [kid(`${BASE}#v2`)] };

  test('is for no other, also where none is named', async () => {
    const { authorise } = open();
    expect(await codeOf(authorise.version(clientCall('sign', caveats), 'kms:sign', kid(`${BASE}#v2`)))).toBe('ok');
    for (const text of [`${BASE}#v1`, BASE]) expect(await codeOf(authorise.version(clientCall('sign', caveats), 'kms:sign', kid(text)))).toBe('NoCapability');
    const call = clientCall('sign', caveats);
    expect(() => authorise.current(call, KEY)).toThrow(expect.objectContaining({ code: 'NoCapability', hint: 'the caveats of the token do not admit this version' }));
    expect(call.subject).toBeUndefined();
  });

  test('of all it sees that one; and the newest comes first for who sees all', async () => {
    const { authorise } = open();
    const seenBy = async (of: Partial<Caveats>): Promise<readonly number[]> => (await authorise.versions(clientCall('sign', of).caller, 'kms:verify', kid(BASE))).versions.map(({ version }) => version);
    expect([await seenBy({}), await seenBy(caveats)]).toEqual([[3, 2, 1], [2]]);
    const refused = authorise.versions(clientCall('sign', { kids: [kid(`${BASE}#v7`)] }).caller, 'kms:verify', kid(BASE));
    await expect(refused).rejects.toMatchObject({ code: 'NoCapability', hint: 'the caveats of the token do not admit this version' });
  });

  test('makes no keys, and is not for the instance; nor is one for a tenant, a purpose or an algorithm', () => {
    const { authorise } = open();
    const name = { tenant: 'core', purpose: 'audit', alg: 'ed25519' };
    expect(() => authorise.name(clientCall('sign', caveats), 'kms:rotate', name)).toThrow(expect.objectContaining({ code: 'NoCapability' }));
    expect(() => authorise.name(clientCall('sign', {}), 'kms:rotate', { ...name, tenant: 'other' })).toThrow(expect.objectContaining({ code: 'NoCapability' }));
    const call = clientCall('sign', {});
    authorise.name(call, 'kms:rotate', name);
    expect(call.admitted).toEqual(name);
    for (const only of [caveats, { tenants: ['core'] }, { purposes: ['a'] }, { algs: ['ed25519'] }]) {
      expect(() => authorise.instance(callerOf({ caveats: { tenants: [], ...only } }), 'kms:admin')).toThrow(expect.objectContaining({ code: 'NoCapability' }));
    }
    expect(() => authorise.instance(callerOf({ caveats: { tenants: [] } }), 'kms:admin')).not.toThrow();
  });
});
