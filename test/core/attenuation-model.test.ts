import * as fc from 'fast-check';
import { isIP } from 'node:net';
import { describe, expect, test } from 'vitest';
import { algNames } from '../../src/core/algorithm/table.ts';
import { parseKid } from '../../src/core/key/kid.ts';
import { attenuate, deriveMacaroonKey, mint, verifyChain } from '../../src/core/macaroon/chain.ts';
import { admitsKid, readCaveats, scopes } from '../../src/core/macaroon/caveats.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';

/** What somebody wants to do with a token. */
interface Ask {
  readonly scope: string;
  /** With its version. */
  readonly kid: string;
  readonly ms: number;
  readonly peer: string;
  readonly certificate: string;
}

const T0 = Date.UTC(2030, 0, 1);
const HOUR_MS = 3_600_000;
const UUID = '01932c07-2b4e-7c55-9a2f-0123456789ab';
const OTHER = '01932c07-2b4e-7c55-9a2f-0123456789ac';
const CERTIFICATES = ['5e'.repeat(32), 'a0'.repeat(32)];

/** DESIGN §5 once more, one caveat after the other, as slowly as it reads: each has to hold by itself. */
function holds(text: string, { scope, kid, ms, peer, certificate }: Ask): boolean {
  const [, name, value] = /^([a-z-]+) = (.*)$/su.exec(text) ?? [];
  if (name === undefined || value === undefined) return false;
  const [tenant, purpose, alg] = kid.split('/');
  const isName = /^[a-z0-9][a-z0-9._-]{0,62}$/u.test(value);
  switch (name) {
    case 'scope': return value.split(',').every((one) => scopes.some((known) => known === one)) && value.split(',').includes(scope);
    case 'tenant': return value === '*' || (isName && value === tenant);
    case 'purpose': return isName && value === purpose;
    case 'alg': return algNames.some((known) => known === value) && value === alg;
    case 'kid': return value === kid || value === kid.slice(0, kid.indexOf('#'));
    case 'expires': return ms <= Date.parse(value);
    case 'not-before': return ms >= Date.parse(value);
    case 'peer': return isWithin(peer, value);
    case 'mtls': return value === `sha256:${certificate}`;
    // What it counts, others hold against the clock; here it only has to be a rate.
    case 'rps': return /^[1-9][0-9]{0,6}$/u.test(value);
    default: return false;
  }
}

const bits = (address: string): string => address.split('.').map((byte) => Number(byte).toString(2).padStart(8, '0')).join('');

function isWithin(peer: string, cidr: string): boolean {
  const [network = '', prefix] = cidr.split('/');
  if (isIP(network) !== 4 || isIP(peer) !== 4) return false;
  return bits(peer).slice(0, Number(prefix)) === bits(network).slice(0, Number(prefix));
}

function mayByModel(texts: readonly string[], ask: Ask): boolean {
  const isThere = (name: string): boolean => texts.some((text) => text.startsWith(`${name} = `));
  return ['scope', 'tenant', 'expires'].every(isThere) && texts.every((text) => holds(text, ask));
}

type ReadCaveats = typeof readCaveats;

/** What the service does with a token that came over the wire, for the same question. */
function mayByService(token: string, ask: Ask, read: ReadCaveats = readCaveats): boolean {
  const macaroon = decodeToken(token);
  if (macaroon === undefined || verifyChain(KEY, macaroon) === undefined) return false;
  const caveats = read(macaroon.caveats.map(({ id }) => id.toString('utf8')));
  const kid = parseKid(ask.kid);
  if (typeof caveats === 'string' || kid === undefined) return false;
  return caveats.scopes.has(ask.scope as never) && admitsKid(caveats, kid, kid.version)
    && ask.ms <= caveats.expiresAtMs && ask.ms >= (caveats.notBeforeMs ?? 0)
    && caveats.peers.every((subnet) => subnet.check(ask.peer)) && caveats.certificates.every((one) => one === ask.certificate);
}

const KEY = deriveMacaroonKey(Buffer.alloc(32, 3));
const IDENTIFIER = 'ron1.root.client.token';

const kid = fc.tuple(fc.constantFrom('core', 'edge'), fc.constantFrom('audit', 'wrap'), fc.constantFrom('ed25519', 'x25519+ml-kem'), fc.constantFrom(UUID, OTHER), fc.constantFrom(1, 2))
  .map(([tenant, purpose, alg, id, version]) => `${tenant}/${purpose}/${alg}/${id}#v${version}`);
const time = fc.integer({ min: 0, max: 4 }).map((hour) => new Date(T0 + hour * HOUR_MS).toISOString());
const ask: fc.Arbitrary<Ask> = fc.record({
  scope: fc.constantFrom(...scopes.slice(0, 3)), kid, ms: fc.integer({ min: 0, max: 4 }).map((hour) => T0 + hour * HOUR_MS),
  peer: fc.constantFrom('10.0.0.1', '10.0.1.1', '192.168.0.1'), certificate: fc.constantFrom(...CERTIFICATES),
});
const caveat = fc.oneof(
  fc.subarray(scopes.slice(0, 3), { minLength: 1 }).map((named) => `scope = ${named.join(',')}`),
  fc.constantFrom('core', 'edge', '*').map((tenant) => `tenant = ${tenant}`),
  fc.constantFrom('audit', 'wrap').map((purpose) => `purpose = ${purpose}`),
  fc.constantFrom('ed25519', 'x25519+ml-kem').map((alg) => `alg = ${alg}`),
  kid.chain((whole) => fc.constantFrom(whole, whole.slice(0, -3))).map((one) => `kid = ${one}`),
  time.map((text) => `expires = ${text}`),
  time.map((text) => `not-before = ${text}`),
  fc.constantFrom('10.0.0.0/8', '10.0.0.0/24', '10.0.1.0/31', '0.0.0.0/0', '192.168.0.1/32').map((cidr) => `peer = ${cidr}`),
  fc.constantFrom(...CERTIFICATES).map((sha256) => `mtls = sha256:${sha256}`),
  fc.integer({ min: 1, max: 9_999_999 }).map((rate) => `rps = ${rate}`),
  fc.constantFrom('Tenant = core', 'tenant=core', 'tenant = core ', 'tenant =  core', ' tenant = core', 'scope = kms:all', 'purpose = *', 'owner = me', 'rps = 0', ''),
);
const WIDE = [`scope = ${scopes.slice(0, 3).join(',')}`, 'tenant = *', `expires = ${new Date(T0 + 4 * HOUR_MS).toISOString()}`];
/** Most of them minted wide, some with anything at all, and then narrowed by holders, one after the other. */
const token = fc.record({ minted: fc.oneof({ weight: 9, arbitrary: fc.constant(WIDE) }, { weight: 1, arbitrary: fc.array(caveat, { maxLength: 4 }) }), added: fc.array(caveat, { maxLength: 5 }) });

function wire({ minted, added }: { readonly minted: readonly string[]; readonly added: readonly string[] }): string {
  return encodeToken(added.reduce(attenuate, mint(KEY, IDENTIFIER, minted)));
}

const agreement = (read?: ReadCaveats) => fc.property(token, fc.array(ask, { minLength: 8, maxLength: 8 }), (made, asks) => {
  const text = wire(made);
  for (const one of asks) expect([one, mayByService(text, one, read)]).toEqual([one, mayByModel([...made.minted, ...made.added], one)]);
});

describe('random tokens, minted and narrowed, against a slow reading of the contract', () => {
  test('what the service admits is what the contract admits, no more and no less', () => {
    fc.assert(agreement(), { numRuns: 2000 });
    // Questions that are all refused would say nothing.
    const admitted = fc.sample(fc.tuple(token, ask), { numRuns: 3000, seed: 1 }).filter(([made, one]) => mayByService(wire(made), one)).length;
    expect(admitted).toBeGreaterThan(100);
  });

  test.each<[string, (texts: readonly string[]) => readonly string[]]>([
    ['the last scope replaces those before', (texts) => texts.filter((text, i) => !text.startsWith('scope = ') || !texts.slice(i + 1).some((later) => later.startsWith('scope = ')))],
    ['a caveat that is not known is left out', (texts) => texts.filter((text) => typeof readCaveats([...WIDE, text]) !== 'string')],
    ['the latest expiry holds', (texts) => texts.filter((text) => !text.startsWith('expires = ') || text === texts.filter((one) => one.startsWith('expires = ')).toSorted().at(-1))],
    ['a kid without its version is left out', (texts) => texts.filter((text) => !/^kid = [^#]*$/u.test(text))],
  ])('a reader that is wrong is found: %s', (_what, change) => {
    expect(() => fc.assert(agreement((texts) => readCaveats(change(texts))), { numRuns: 2000, endOnFailure: true })).toThrow(/Property failed/);
  });
});
