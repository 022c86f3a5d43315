import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { attenuate, deriveMacaroonKey, mint, verifyChain } from '../../src/core/macaroon/chain.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';

/** A Python with pymacaroons; `.ci/run` makes one and names it here. */
const python = process.env['PYMACAROONS_PYTHON'] ?? 'python3';
const isThere = (() => {
  try {
    execFileSync(python, ['-c', 'import pymacaroons'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
if (!isThere) console.warn('SKIPPED: the second implementation of macaroons is missing; pip install pymacaroons, or set PYMACAROONS_PYTHON');

const SECRET = 'a root secret of thirty-two byte';
const IDENTIFIER = 'ron1.test.client.token';
const CAVEATS = ['scope = kms:sign,kms:verify', 'tenant = core', 'expires = 2030-01-01T00:00:00Z', 'rps = 50'];

const MINT = `
import sys
from pymacaroons import Macaroon, MACAROON_V2
secret, identifier, *caveats = sys.argv[1:]
m = Macaroon(identifier=identifier, key=secret, version=MACAROON_V2)
for c in caveats: m.add_first_party_caveat(c)
print(m.serialize())`;

const CHECK = `
import sys
from pymacaroons import Macaroon, Verifier
secret, token, *caveats = sys.argv[1:]
m = Macaroon.deserialize(token)
v = Verifier()
for c in caveats: v.satisfy_exact(c)
try: print(v.verify(m, secret))
except Exception as e: print('refused')`;

const run = (script: string, ...args: string[]): string => execFileSync(python, ['-c', script, ...args], { encoding: 'utf8' }).trim();

describe.skipIf(!isThere)('macaroons of another implementation (pymacaroons)', () => {
  const key = deriveMacaroonKey(Buffer.from(SECRET));

  test('what it mints, we read and verify', () => {
    const macaroon = decodeToken(run(MINT, SECRET, IDENTIFIER, ...CAVEATS).replace(/=+$/, ''));
    expect(macaroon?.identifier.toString()).toBe(IDENTIFIER);
    expect(macaroon?.caveats.map(({ id }) => id.toString())).toEqual(CAVEATS);
    expect(macaroon && verifyChain(key, macaroon)).toBeDefined();
    expect(macaroon && verifyChain(deriveMacaroonKey(Buffer.from('another')), macaroon)).toBeUndefined();
  });

  test('what we mint and narrow, it verifies, with the same signature', () => {
    const ours = mint(key, IDENTIFIER, CAVEATS);
    // It writes an empty location, which nothing signs; we write none.
    expect(decodeToken(run(MINT, SECRET, IDENTIFIER, ...CAVEATS).replace(/=+$/, ''))?.signature).toEqual(ours.signature);
    const narrowed = encodeToken(attenuate(mint(key, IDENTIFIER, CAVEATS), 'purpose = audit'));
    expect(run(CHECK, SECRET, narrowed, ...CAVEATS, 'purpose = audit')).toBe('True');
    expect(run(CHECK, SECRET, narrowed, ...CAVEATS)).toBe('refused');
  });
});
