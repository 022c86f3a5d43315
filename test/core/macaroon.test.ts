import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Macaroon } from '../../src/core/macaroon/codec.ts';
import { attenuate, deriveMacaroonKey, mint, verifyChain } from '../../src/core/macaroon/chain.ts';
import { CAVEATS_MAX, decodeToken, encodeToken, MACAROON_BYTES_MAX } from '../../src/core/macaroon/codec.ts';
import { formatIdentifier, parseIdentifier } from '../../src/core/macaroon/identifier.ts';

const KEY = deriveMacaroonKey(Buffer.alloc(32, 7));
const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 60 });
const minted = fc.tuple(text, fc.array(text, { maxLength: 6 })).map(([identifier, caveats]) => mint(KEY, identifier, caveats));

/** The macaroon of a token that this service would go on with. */
function accepted(token: string, key: Buffer = KEY): Macaroon | undefined {
  const macaroon = decodeToken(token);
  return macaroon !== undefined && verifyChain(key, macaroon) !== undefined ? macaroon : undefined;
}

function flipBit(bytes: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return flipped;
}

describe('a token', () => {
  test('is decoded to what was minted, and its chain holds under its own root key only', () => {
    fc.assert(fc.property(minted, (macaroon) => {
      const token = encodeToken(macaroon);
      expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(decodeToken(token)).toEqual(macaroon);
      expect(accepted(token)).toEqual(macaroon);
      expect(accepted(token, deriveMacaroonKey(Buffer.alloc(32, 8)))).toBeUndefined();
    }));
  });

  test('is refused with any one bit flipped', () => {
    fc.assert(fc.property(minted, (macaroon) => {
      const bytes = Buffer.from(encodeToken(macaroon), 'base64url');
      for (let bit = 0; bit < bytes.length * 8; bit++) expect(accepted(flipBit(bytes, bit).toString('base64url'))).toBeUndefined();
    }), { numRuns: 10 });
  });

  test('is refused cut short anywhere, or with anything behind it', () => {
    fc.assert(fc.property(minted, fc.uint8Array({ minLength: 1, maxLength: 40 }), (macaroon, more) => {
      const bytes = Buffer.from(encodeToken(macaroon), 'base64url');
      for (let length = 0; length < bytes.length; length++) expect(accepted(bytes.subarray(0, length).toString('base64url'))).toBeUndefined();
      expect(accepted(Buffer.concat([bytes, more]).toString('base64url'))).toBeUndefined();
    }), { numRuns: 20 });
  });

  test('is refused with a caveat left out, moved, changed or put in by someone who has only the token', () => {
    fc.assert(fc.property(text, fc.uniqueArray(text, { minLength: 2, maxLength: 5 }), text, fc.nat(), (identifier, caveats, other, at) => {
      fc.pre(!caveats.includes(other));
      const { signature } = mint(KEY, identifier, caveats);
      const place = at % caveats.length;
      const rotated = [...caveats.slice(1), ...caveats.slice(0, 1)];
      for (const changed of [caveats.toSpliced(place, 1), rotated, caveats.with(place, other), caveats.toSpliced(place, 0, other), []]) {
        expect(accepted(encodeToken({ ...mint(KEY, identifier, changed), signature }))).toBeUndefined();
      }
    }));
  });

  test('has one spelling: with padding, in the other alphabet, with white space or stray bits it is refused', () => {
    const token = encodeToken(mint(KEY, 'ron1.a.b.c', ['tenant = ??>>']));
    const bytes = Buffer.from(token, 'base64url');
    expect(token.length % 4).not.toBe(0);
    expect(accepted(token)).toBeDefined();
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.indexOf(token.at(-1) ?? '');
    const stray = token.slice(0, -1) + ('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'[last + 1] ?? '');
    for (const spelling of [bytes.toString('base64'), `${token}=`, ` ${token}`, `${token}\n`, `${token.slice(0, 8)} ${token.slice(8)}`, stray, '']) {
      expect(accepted(spelling)).toBeUndefined();
    }
  });

  test('has caveats of any length up to its own limit, where a length takes another byte too', () => {
    for (const length of [1, 127, 128, 129, 255, 256, 1023, 1024, 1025, 4096]) {
      const macaroon = mint(KEY, 'i', ['x'.repeat(length)]);
      expect(accepted(encodeToken(macaroon))).toEqual(macaroon);
    }
  });

  test('carries 64 caveats and no more, in 8 KiB and no more', () => {
    const caveats = Array.from({ length: CAVEATS_MAX }, (_, i) => `c${i}`);
    expect(accepted(encodeToken(mint(KEY, 'i', caveats)))?.caveats).toHaveLength(64);
    expect(decodeToken(encodeToken(mint(KEY, 'i', [...caveats, 'one more'])))).toBeUndefined();
    const sized = (bytes: number): string => encodeToken(mint(KEY, 'i', ['x'.repeat(bytes)]));
    const overhead = Buffer.from(sized(200), 'base64url').length - 200;
    expect(accepted(sized(MACAROON_BYTES_MAX - overhead))).toBeDefined();
    expect(decodeToken(sized(MACAROON_BYTES_MAX - overhead + 1))).toBeUndefined();
  });

  /** A header with the identifier `i`, and a signature of zeros. */
  const HEADER = '0202016900';
  const SIGNATURE = `0620${'00'.repeat(32)}`;

  test.each([
    ['nothing', ''],
    ['version 1', `01${HEADER.slice(2)}00${SIGNATURE}`],
    ['no identifier', `020000${SIGNATURE}`],
    ['a length in two bytes where one is enough', `02028100690000${SIGNATURE}`],
    ['a length in three bytes', `0202818000690000${SIGNATURE}`],
    ['a field that there is not', `020201690301780000${SIGNATURE}`],
    ['a location behind the identifier', `020201690101780000${SIGNATURE}`],
    ['a verification id in its header', `020201690401780000${SIGNATURE}`],
    ['a signature of 31 bytes', `${HEADER}00061f${'00'.repeat(31)}`],
    ['a signature of 33 bytes', `${HEADER}000621${'00'.repeat(33)}`],
    ['no signature', `${HEADER}00`],
  ])('with %s does not decode', (_name, bytes) => {
    expect(decodeToken(Buffer.from(bytes, 'hex').toString('base64url'))).toBeUndefined();
  });

  test('whole, decodes: so it is what is wrong with those that they are refused for', () => {
    expect(decodeToken(Buffer.from(`${HEADER}00${SIGNATURE}`, 'hex').toString('base64url'))?.identifier.toString()).toBe('i');
  });

  test('with a caveat for a third party decodes, and says so', () => {
    const bytes = Buffer.from(`${HEADER}020163040176000201640000${SIGNATURE}`, 'hex');
    expect(decodeToken(bytes.toString('base64url'))?.caveats.map(({ id, isThirdParty }) => [id.toString(), isThirdParty])).toEqual([['c', true], ['d', false]]);
  });
});

describe('the values that libmacaroons publishes', () => {
  test.each([
    [[], 'e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f'],
    [['account = 3735928559'], '1efe4763f290dbce0c1d08477367e11f4eee456a64933cf662d79772dbb82128'],
    [['account = 3735928559', 'time < 2020-01-01T00:00'], 'b5f06c8c8ef92f6c82c6ff282cd1f8bd1849301d09a2db634ba182536a611c49'],
    [['account = 3735928559', 'time < 2020-01-01T00:00', 'email = alice@example.org'], 'ddf553e46083e55b8d71ab822be3d8fcf21d6bf19c40d617bb9fb438934474b6'],
  ])('README: the signature over the caveats %j', (caveats, signature) => {
    const key = deriveMacaroonKey(Buffer.from('this is our super secret key; only we should know it'));
    expect(mint(key, 'we used our secret key', caveats).signature.toString('hex')).toBe(signature);
  });

  test.each([
    ['no caveat', 'AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAAYgfN7nklEcW8b1KEhYBd_psk54XijiqZMB-dcRxgnjjvc', []],
    ['one caveat', 'AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQAABiD1SAf23G7fiL8PcwazgiVio2JTPb9zObphdl2kvSWdhw', ['account = 3735928559']],
    ['two caveats', 'AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQACDHVzZXIgPSBhbGljZQAABiBL6WfNHqDGsmuvakqU7psFsViG2guoXoxCqTyNDhJe_A', ['account = 3735928559', 'user = alice']],
  ])('v2 binary, with a location: %s', (_name, token, caveats) => {
    const macaroon = accepted(token, deriveMacaroonKey(Buffer.from('this is the key')));
    expect(macaroon?.identifier.toString()).toBe('keyid');
    expect(macaroon?.caveats.map(({ id }) => id.toString())).toEqual(caveats);
    expect(accepted(token, deriveMacaroonKey(Buffer.from('this is not the key')))).toBeUndefined();
  });
});

describe('a token narrowed by someone without the key', () => {
  test('is the token that the root key would have minted with that caveat', () => {
    fc.assert(fc.property(text, fc.array(text, { maxLength: 6 }), (identifier, caveats) => {
      const narrowed = caveats.reduce<Macaroon>((macaroon, caveat) => attenuate(macaroon, caveat), mint(KEY, identifier, []));
      expect(narrowed).toEqual(mint(KEY, identifier, caveats));
    }));
  });

  test('keeps the chain values of the token it came from, so a rate bucket keyed by one is the same bucket', () => {
    fc.assert(fc.property(minted, text, (macaroon, caveat) => {
      const before = verifyChain(KEY, macaroon) ?? [];
      const after = verifyChain(KEY, attenuate(macaroon, caveat)) ?? [];
      expect(after.slice(0, -1)).toEqual(before);
      expect(after).toHaveLength(before.length + 1);
    }));
  });
});

describe('the identifier of a token', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

  test('is read back to the ids it was made of', () => {
    fc.assert(fc.property(id, id, id, (rootKeyId, clientId, tokenId) => {
      const identity = { rootKeyId, clientId, tokenId };
      expect(parseIdentifier(Buffer.from(formatIdentifier(identity)))).toEqual(identity);
    }));
  });

  test.each(['', 'ron1', 'ron1.a.b', 'ron1.a.b.c.d', 'ron1.a..c', 'ron2.a.b.c', 'xron1.a.b.c', 'RON1.a.b.c', 'ron1.a.b.c ', 'ron1.a.b.c\n', 'ron1.a.b.é', 'ron1.a.b/c.d', `ron1.${'a'.repeat(65)}.b.c`])('%j is none', (text) => {
    expect(parseIdentifier(Buffer.from(text))).toBeUndefined();
  });
});
