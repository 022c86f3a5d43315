import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Caveats } from '../../src/core/macaroon/caveats.ts';
import { algNames } from '../../src/core/algorithm/table.ts';
import { kidBase, kidText } from '../../src/core/key/kid.ts';
import { admitsKid, admitsName, readCaveats, scopes } from '../../src/core/macaroon/caveats.ts';

const uuids = ['01932c07-2b4e-7c55-9a2f-0123456789ab', '01932c07-2b4e-7c55-9a2f-0123456789ac'];
const tenants = ['core', 'edge'];
const purposes = ['audit', 'wrap'];
const algs = ['ed25519', 'x25519+ml-kem'] as const;
const peers = ['10.0.0.1', '10.0.1.1', '192.168.0.1'];
const HOUR_MS = 3_600_000;
const T0 = Date.UTC(2030, 0, 1);
const hours = [0, 1, 2, 3, 4];

const keys = tenants.flatMap((tenant) => purposes.flatMap((purpose) => algs.flatMap((alg) => uuids.map((uuid) => ({ tenant, purpose, alg, base: kidBase(tenant, purpose, alg, uuid) })))));

/** Everything that someone could try with a token, as text. */
function admittedBy(caveats: Caveats): ReadonlySet<string> {
  const open = hours.map((hour) => T0 + hour * HOUR_MS).filter((ms) => ms <= caveats.expiresAtMs && ms >= (caveats.notBeforeMs ?? 0));
  const from = peers.filter((peer) => caveats.peers.every((subnet) => subnet.check(peer)));
  const named = keys.filter((key) => admitsName(caveats, key) && caveats.kids.length === 0).map(({ tenant, purpose, alg }) => `${tenant}/${purpose}/${alg}`);
  const kids = keys.flatMap((key) => [undefined, 1, 2].filter((version) => admitsKid(caveats, key, version)).map((version) => (version === undefined ? key.base : kidText(key.base, version))));
  return new Set(open.flatMap((ms) => from.flatMap((peer) => [...caveats.scopes].flatMap((scope) => [...named, ...kids].map((what) => `${ms} ${peer} ${scope} ${what}`)))));
}

const time = fc.constantFrom(...hours).map((hour) => new Date(T0 + hour * HOUR_MS).toISOString());
const caveat = fc.oneof(
  fc.subarray(scopes.slice(0, 4), { minLength: 1 }).map((named) => `scope = ${named.join(',')}`),
  fc.constantFrom(...tenants, '*').map((tenant) => `tenant = ${tenant}`),
  fc.constantFrom(...purposes).map((purpose) => `purpose = ${purpose}`),
  fc.constantFrom(...algs).map((alg) => `alg = ${alg}`),
  fc.constantFrom(...keys).chain(({ base }) => fc.constantFrom(base, kidText(base, 1), kidText(base, 2))).map((kid) => `kid = ${kid}`),
  time.map((text) => `expires = ${text}`),
  time.map((text) => `not-before = ${text}`),
  fc.constantFrom('10.0.0.0/8', '10.0.0.0/24', '0.0.0.0/0', '192.168.0.1/32', 'fd00::/8').map((cidr) => `peer = ${cidr}`),
  fc.integer({ min: 1, max: 9_999_999 }).map((rate) => `rps = ${rate}`),
  fc.constant(`mtls = sha256:${'5e'.repeat(32)}`),
);
const whole = fc.tuple(fc.array(caveat, { maxLength: 5 }), fc.nat()).map(([more, seed]) => {
  const wide = [`scope = ${scopes.slice(0, 4).join(',')}`, 'tenant = *', `expires = ${new Date(T0 + 4 * HOUR_MS).toISOString()}`];
  return [...wide, ...more].toSorted((a, b) => ((a.length * 31 + seed) % 7) - ((b.length * 31 + seed) % 7));
});

const least = ['scope = kms:sign', 'tenant = core', 'expires = 2030-01-01T00:00:00Z'];

function peersOf(cidr: string): readonly string[] {
  const caveats = readCaveats([...least, `peer = ${cidr}`]);
  if (typeof caveats === 'string') throw new Error(caveats);
  return ['10.0.0.1', '10.0.1.1', 'fd00::1', 'fd00:1::1'].filter((address) => caveats.peers.every((subnet) => subnet.check(address, address.includes(':') ? 'ipv6' : 'ipv4')));
}

describe('the caveats of a token', () => {
  test('one caveat more, and nothing that was refused is admitted: not a kid, a scope, a time, a peer, a rate or a certificate', () => {
    fc.assert(fc.property(whole, fc.oneof(caveat, fc.string()), (texts, more) => {
      const before = readCaveats(texts);
      const after = readCaveats([...texts, more]);
      if (typeof before === 'string') expect(typeof after).toBe('string');
      if (typeof before === 'string' || typeof after === 'string') return;
      expect(admittedBy(after).isSubsetOf(admittedBy(before))).toBe(true);
      expect(after.rates.slice(0, before.rates.length)).toEqual(before.rates);
      expect(after.certificates.slice(0, before.certificates.length)).toEqual(before.certificates);
    }), { numRuns: 500 });
  });

  test('the order in which they stand changes nothing that is admitted', () => {
    fc.assert(fc.property(whole, (texts) => {
      const [there, back] = [readCaveats(texts), readCaveats(texts.toReversed())];
      if (typeof there === 'string' || typeof back === 'string') throw new Error('whole caveats leave something');
      expect(admittedBy(there)).toEqual(admittedBy(back));
    }));
  });

  test('without scope, tenant or expiry nothing is left, whatever else there is', () => {
    expect(typeof readCaveats(least)).toBe('object');
    expect(least.map((_, i) => readCaveats(least.toSpliced(i, 1)))).toEqual(['no scope', 'no tenant', 'no expiry']);
  });

  test('a scope, tenant or algorithm that is repeated leaves what both leave', () => {
    const wide = ['scope = kms:sign,kms:verify', 'tenant = *', 'expires = 2030-01-01T00:00:00Z'];
    const left = (more: readonly string[]): Caveats => {
      const caveats = readCaveats([...wide, ...more]);
      if (typeof caveats === 'string') throw new Error(caveats);
      return caveats;
    };
    expect([...left(['scope = kms:verify,kms:wrap']).scopes]).toEqual(['kms:verify']);
    expect([...left(['scope = kms:wrap']).scopes]).toEqual([]);
    expect(left(['tenant = core', 'tenant = *']).tenants).toEqual(['core']);
    expect(keys.filter((key) => admitsName(left(['tenant = core', 'tenant = edge']), key))).toEqual([]);
    expect(left(['expires = 2029-01-01T00:00:00Z', 'expires = 2031-01-01T00:00:00Z']).expiresAtMs).toBe(Date.UTC(2029, 0, 1));
    expect(left(['not-before = 2029-01-01T00:00:00Z', 'not-before = 2028-01-01T00:00:00Z']).notBeforeMs).toBe(Date.UTC(2029, 0, 1));
  });

  test('leave what they say, and of what they do not say nothing', () => {
    const bare = { tenants: ['core'], purposes: [], algs: [], kids: [], notBeforeMs: undefined, firstNotBeforeMs: undefined, peers: [], certificates: [], rates: [], scopes: new Set(['kms:sign']), expiresAtMs: T0 };
    expect(readCaveats(least)).toEqual(bare);
    const more = [`mtls = sha256:${'0a'.repeat(32)}`, 'rps = 50', 'not-before = 2029-01-01T00:00:00Z', 'not-before = 2028-01-01T00:00:00Z', 'rps = 7', 'not-before = 2028-06-01T00:00:00Z'];
    expect(readCaveats([...least, ...more])).toEqual({
      ...bare, certificates: ['0a'.repeat(32)], rates: [{ perSecond: 50, position: 4 }, { perSecond: 7, position: 7 }],
      notBeforeMs: Date.UTC(2029, 0, 1), firstNotBeforeMs: Date.UTC(2028, 0, 1),
    });
  });

  test('of a network of either family admit the addresses that are in it', () => {
    expect(['10.0.0.0/24', '10.0.0.1/32', '0.0.0.0/0', 'fd00::/8', 'fd00::/32', 'fd00::1/128'].map(peersOf)).toEqual([['10.0.0.1'], ['10.0.0.1'], ['10.0.0.1', '10.0.1.1'], ['fd00::1', 'fd00:1::1'], ['fd00::1'], ['fd00::1']]);
  });

  test('a kid without a version admits every version of its key, with one only that version, and neither another key', () => {
    const [key, other] = keys;
    if (key === undefined || other === undefined) throw new Error('there are keys');
    const admitted = (kid: string) => {
      const caveats = readCaveats([...least, 'tenant = *', `kid = ${kid}`]);
      if (typeof caveats === 'string') throw new Error(caveats);
      return [key, other].map((each) => [undefined, 1, 2].filter((version) => admitsKid(caveats, each, version)));
    };
    expect(admitted(key.base)).toEqual([[undefined, 1, 2], []]);
    expect(admitted(kidText(key.base, 2))).toEqual([[undefined, 2], []]);
  });

  const wellFormed = [
    'scope = kms:sign', 'scope = kms:sign,kms:verify', 'tenant = core', 'tenant = *', 'purpose = audit', ...algNames.map((alg) => `alg = ${alg}`),
    `kid = core/audit/ed25519/${uuids[0]}`, `kid = core/audit/ed25519/${uuids[0]}#v3`, 'expires = 2030-01-01T00:00:00Z', 'not-before = 2030-01-01T00:00:00.000Z',
    'peer = 10.0.0.0/8', 'peer = fd00::/8', `mtls = sha256:${'0a'.repeat(32)}`, 'rps = 50',
  ];

  test.each(wellFormed)('%j is understood', (text) => {
    expect(typeof readCaveats([...least, text])).toBe('object');
  });

  test.each([
    '', ' = ', 'scope', 'purposes', 'tenants', 'scope=kms:sign', 'scope =kms:sign', 'scope= kms:sign', 'scope  = kms:sign', 'scope =  kms:sign', ' scope = kms:sign', 'scope = kms:sign ', 'Scope = kms:sign',
    'scope = ', 'scope = kms:sign, kms:verify', 'scope = kms:sign,', 'scope = ,kms:sign', 'scope = sign', 'scope = kms:export', 'scope = *', 'scope = KMS:SIGN',
    'tenant = ', 'tenant = Core', 'tenant = core,edge', 'tenant = **', `tenant = ${'a'.repeat(64)}`, 'purpose = *', 'purpose = ', 'alg = *', 'alg = rsa', 'alg = Ed25519', 'alg = ed25519,ml-dsa', 'alg = constructor',
    'kid = ', 'kid = *', 'kid = core/audit/ed25519', `kid = core/audit/ed25519/${uuids[0]}#v0`, `kid = core/audit/ed25519/${uuids[0]},core/audit/ed25519/${uuids[1]}`,
    'expires = never', 'expires = 2030-01-01', 'expires = 1893456000', 'expires = 2030-02-30T00:00:00Z', 'not-before = ', 'not-before = now',
    'peer = 10.0.0.1', 'peer = 10.0.0.0/33', 'peer = 10.0.0.0/08', 'peer = 10.0.0.0/8/8', 'peer = fd00::/129', 'peer = localhost/8', 'peer = /8', 'peer = 10.0.0.0/', 'peer = 10.0.0.0/-1', 'peer = *',
    `mtls = ${'0a'.repeat(32)}`, `mtls = sha256:${'0A'.repeat(32)}`, `mtls = sha256:${'0a'.repeat(31)}`, `mtls = sha256:${'0a'.repeat(33)}`, `mtls = xsha256:${'0a'.repeat(32)}`, `mtls = sha1:${'0a'.repeat(20)}`, 'mtls = sha256:',
    'rps = 0', 'rps = 050', 'rps = -1', 'rps = 1.5', 'rps = 1e3', 'rps = 10000000', 'rps = ', 'rps = ٥',
    'time < 2030-01-01T00:00', 'constructor = x', '__proto__ = x', 'toString = x', 'tenant = core\n', 'tenant = core = edge', 'ténant = core',
  ])('%j leaves nothing of the token', (text) => {
    expect(readCaveats([...least, text])).toBe('an unknown or malformed caveat');
  });
});
