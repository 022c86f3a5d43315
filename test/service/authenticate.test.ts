import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { mint } from '../../src/core/macaroon/chain.ts';
import { encodeToken } from '../../src/core/macaroon/codec.ts';
import { makeAuthenticate } from '../../src/service/authenticate.ts';

const NOW_MS = Date.parse('2026-11-28T12:00:00Z');
const SKEW_MS = 2000;
const LIFETIME_MS = 3_600_000;
const CERTIFICATE = 'ab'.repeat(32);
const CONNECTION = { peer: '10.1.2.3', via: 'tcp', certificateSha256: undefined, corrId: 'c', requestId: 'r', traceParent: undefined };
const UNAUTHENTICATED = { status: 401, code: 'NoCapability' };

/** A service that vouches for every chain, at a time that the test sets. */
function open({ wallMs = NOW_MS, lastEntryMs = 0 } = {}) {
  const vouched: string[] = [];
  const authenticate = makeAuthenticate({
    capabilities: {
      async vouch(token) {
        vouched.push(token);
        return String;
      },
      isReady: () => true,
    },
    clock: { ...systemClock, wallMs: () => wallMs }, audit: { lastEntryMs: () => lastEntryMs },
    limits: () => ({ maxTokenLifetimeMs: LIFETIME_MS, timeSkewToleranceMs: SKEW_MS }),
  });
  return { vouched, authenticate };
}

const at = (offsetMs: number): string => new Date(NOW_MS + offsetMs).toISOString();
const tokenWith = (...caveats: readonly string[]): string => encodeToken(mint(Buffer.alloc(32), 'ron1.root.app.t1', ['scope = kms:sign', 'tenant = core', ...caveats]));

/** `ok`, or the status of the refusal. */
async function outcomeOf(caveats: readonly string[], { connection = {}, ...time }: { readonly wallMs?: number; readonly lastEntryMs?: number; readonly connection?: { readonly peer?: string | undefined; readonly certificateSha256?: string } } = {}): Promise<'ok' | number> {
  return open(time).authenticate(tokenWith(...caveats), { ...CONNECTION, ...connection }).then(() => 'ok' as const, (fault: { status: number }) => fault.status);
}

describe('the time of a token', () => {
  test.each([
    ['ends now', [`expires = ${at(0)}`], 'ok'],
    ['ended within what clocks may differ', [`expires = ${at(-SKEW_MS)}`], 'ok'],
    ['ended before that', [`expires = ${at(-SKEW_MS - 1)}`], 401],
    ['ends at the earliest that it says', [`expires = ${at(60_000)}`, `expires = ${at(-SKEW_MS - 1)}`], 401],
    ['begins within what clocks may differ', [`not-before = ${at(SKEW_MS)}`, `expires = ${at(60_000)}`], 'ok'],
    ['begins behind that', [`not-before = ${at(SKEW_MS + 1)}`, `expires = ${at(60_000)}`], 401],
    ['is as long as it may be, and what clocks may differ', [`expires = ${at(LIFETIME_MS + SKEW_MS)}`], 'ok'],
    ['is longer', [`expires = ${at(LIFETIME_MS + SKEW_MS + 1)}`], 403],
    ['is longer, counted from where it began', [`not-before = ${at(-60_000)}`, `expires = ${at(LIFETIME_MS + SKEW_MS - 59_999)}`], 403],
    ['is no shorter for a beginning that lies a little ahead', [`not-before = ${at(SKEW_MS)}`, `expires = ${at(LIFETIME_MS + 2 * SKEW_MS)}`], 403],
  ] as const)('%s', async (_, caveats, outcome) => {
    expect(await outcomeOf(caveats)).toBe(outcome);
  });

  test('does not come back with a clock that is set back behind the last entry of the log', async () => {
    const expired = [`expires = ${at(-60_000)}`];
    expect(await outcomeOf(expired, { wallMs: NOW_MS - 120_000 })).toBe('ok');
    expect(await outcomeOf(expired, { wallMs: NOW_MS - 120_000, lastEntryMs: NOW_MS })).toBe(401);
    expect(await outcomeOf(expired, { lastEntryMs: NOW_MS - 120_000 })).toBe(401);
  });
});

const HOUR = `expires = ${at(60_000)}`;

describe('the connection of a token', () => {
  test.each([
    ['10.1.2.3', ['10.1.0.0/16'], 'ok'], ['10.2.2.3', ['10.1.0.0/16'], 403], ['10.1.2.3', ['10.1.0.0/16', '10.1.2.0/24'], 'ok'], ['10.1.3.3', ['10.1.0.0/16', '10.1.2.0/24'], 403],
    ['fd00::1', ['fd00::/8'], 'ok'], ['fe80::1', ['fd00::/8'], 403], ['10.1.2.3', ['fd00::/8'], 403],
    [undefined, ['0.0.0.0/0'], 403], [undefined, [], 'ok'],
  ] as const)('from %s, for %j: %s', async (peer, subnets, outcome) => {
    expect(await outcomeOf([HOUR, ...subnets.map((subnet) => `peer = ${subnet}`)], { connection: { peer } })).toBe(outcome);
  });

  test('that is for a client certificate comes by it and by no other', async () => {
    const bound = [HOUR, `mtls = sha256:${CERTIFICATE}`];
    expect(await outcomeOf(bound, { connection: { certificateSha256: CERTIFICATE } })).toBe('ok');
    expect(await outcomeOf([...bound, `mtls = sha256:${'cd'.repeat(32)}`], { connection: { certificateSha256: CERTIFICATE } })).toBe(403);
    const refused = open().authenticate(tokenWith(...bound), CONNECTION);
    await expect(refused).rejects.toMatchObject({ status: 403, hint: 'the token is for a client certificate, and this connection has none' });
    const another = open().authenticate(tokenWith(...bound), { ...CONNECTION, certificateSha256: 'cd'.repeat(32) });
    await expect(another).rejects.toMatchObject({ status: 403, hint: 'the token is for another client certificate' });
  });
});

describe('a token', () => {
  test('that is not there, or is none, is not vouched for', async () => {
    const { authenticate, vouched } = open();
    for (const token of [undefined, '', 'nonsense', encodeToken(mint(Buffer.alloc(32), 'no identifier of ours', []))]) await expect(authenticate(token, CONNECTION)).rejects.toMatchObject(UNAUTHENTICATED);
    expect(vouched).toEqual([]);
  });

  test('is vouched for each time it is shown, also when it was read before', async () => {
    const { authenticate, vouched } = open();
    const token = tokenWith(HOUR);
    const callers = [await authenticate(token, CONNECTION), await authenticate(token, { ...CONNECTION, peer: '10.9.9.9' })];
    expect(vouched).toEqual([token, token]);
    expect(callers.map(({ actor }) => actor)).toEqual(['10.1.2.3', '10.9.9.9'].map((peer) => ({ client_id: 'app', root_key_id: 'root', token_id: 't1', via: 'tcp', peer })));
    expect(callers[0]).toMatchObject({ identity: { clientId: 'app', rootKeyId: 'root', tokenId: 't1' }, caveatTexts: ['scope = kms:sign', 'tenant = core', HOUR] });
  });

  test('of which so many came that it was forgotten is read again, and says the same', async () => {
    const { authenticate } = open();
    const tokens = Array.from({ length: 514 }, (_, i) => tokenWith(HOUR, `purpose = p${i}`));
    for (const round of [1, 2]) for (const [i, token] of tokens.entries()) expect((await authenticate(token, CONNECTION)).caveats.purposes, `round ${round}`).toEqual([`p${i}`]);
  });

  test.each([['with a caveat that nobody knows', 'colour = red'], ['of no expiry', 'purpose = a']])('%s is refused, and so it is the next time', async (_, caveat) => {
    const { authenticate } = open();
    for (let i = 0; i < 2; i++) await expect(authenticate(tokenWith(caveat), CONNECTION)).rejects.toMatchObject({ status: 403, code: 'NoCapability' });
  });
});
