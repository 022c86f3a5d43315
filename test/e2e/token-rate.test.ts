import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { attenuate } from '../../src/core/macaroon/chain.ts';
import { decodeToken, encodeToken } from '../../src/core/macaroon/codec.ts';
import { eventually } from '../harness/poll.ts';
import { faultsOfItem } from '../harness/refusal.ts';
import { call, createKey, everything, startService, tokenOf } from '../harness/service.ts';

const DIGEST = '0'.repeat(64);

let service: TestService;
let limited: TestService;
let kid: string;
let number = 0;
beforeAll(async () => {
  [service, limited] = await Promise.all([startService(), startService({ flags: ['--security-sign-rate-limit-rps', '10'] })]);
  ({ kid } = await createKey(service, { alg: 'ed25519' }) as { kid: string });
});
afterAll(async () => {
  await Promise.all([service.stop(), limited.stop()]);
});

/** A token whose bucket nobody has touched. */
const fresh = (rps: number, ...more: readonly string[]): string => tokenOf({ caveats: [...everything('core'), `rps = ${rps}`, ...more], tokenId: `rate-${number++}` });

function narrow(token: string, ...caveats: readonly string[]): string {
  const macaroon = decodeToken(token);
  if (macaroon === undefined) throw new Error('no token of ours');
  return encodeToken(caveats.reduce(attenuate, macaroon));
}

const sign = (token: string): Promise<Answer> => call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, token);
const okOf = (answers: readonly Answer[]): number => answers.filter(({ status }) => status === 200).length;
const codesOf = (items: readonly any[]): readonly string[] => items.map((item) => item.error?.code ?? 'ok');

/** What a bucket of this rate can have given at most, from full, until now. */
function mostSince(rps: number, startedMs: number): number {
  return rps + Math.ceil((rps * (performance.now() - startedMs)) / 1000);
}

describe('an rps caveat', () => {
  test('lets so many calls through and answers the next with 429, Backpressure and Retry-After', async () => {
    const token = fresh(5);
    const startedMs = performance.now();
    const answers = await Promise.all(Array.from({ length: 30 }, () => sign(token)));
    expect(okOf(answers)).toBeGreaterThanOrEqual(5);
    expect(okOf(answers)).toBeLessThanOrEqual(mostSince(5, startedMs));
    for (const { status, body, headers } of answers.filter((one) => one.status !== 200)) {
      expect({ status, code: body['error'].code, retryable: body['error'].retryable, retryAfter: headers.get('retry-after') }).toEqual({ status: 429, code: 'Backpressure', retryable: true, retryAfter: expect.stringMatching(/^[1-9]\d*$/) });
    }
  });

  test('is not refilled by narrowing the token further, nor by narrowing it in many ways at once', async () => {
    const token = fresh(4);
    const startedMs = performance.now();
    const narrowings = Array.from({ length: 30 }, (_, i) => narrow(token, ...Array.from({ length: 1 + (i % 5) }, () => ['purpose = audit', 'tenant = core', 'alg = ed25519', 'peer = 127.0.0.0/8', 'rps = 1000'][i % 5] ?? '')));
    const answers = [...(await Promise.all([token, ...narrowings].map(sign))), await sign(narrow(narrowings[0] ?? '', 'purpose = audit')), await sign(token)];
    expect(okOf(answers)).toBeLessThanOrEqual(mostSince(4, startedMs));
  });

  test('counts reads of keys, lists and the token itself as well', async () => {
    const token = fresh(3);
    const startedMs = performance.now();
    const paths = ['/token', '/keys', `/keys/${encodeURIComponent(kid)}`];
    const answers = await Promise.all(Array.from({ length: 18 }, (_, i) => call(service, 'GET', paths[i % 3] ?? '', undefined, token)));
    expect(okOf(answers)).toBeLessThanOrEqual(mostSince(3, startedMs));
  });

  test('counts receipts, there or not', async () => {
    const token = fresh(3);
    const startedMs = performance.now();
    const answers = await Promise.all(Array.from({ length: 12 }, () => call(service, 'GET', '/audit/receipts/999999', undefined, token)));
    expect(answers.filter(({ status }) => status !== 429).length).toBeLessThanOrEqual(mostSince(3, startedMs));
  });

  test('is kept apart from that of another token, and of a narrower caveat added later', async () => {
    const token = fresh(50);
    const slow = narrow(token, 'rps = 1');
    await sign(slow);
    expect((await sign(slow)).status).toBe(429);
    expect((await sign(token)).status).toBe(200);
    expect((await sign(fresh(1))).status).toBe(200);
  });

  test('when two are on a token, both must have something left, and a refusal by one takes nothing of the other', async () => {
    const token = fresh(20);
    const slow = narrow(token, 'rps = 1');
    await Promise.all(Array.from({ length: 15 }, () => sign(slow)));
    // At most a few of those fifteen got through, so most of the twenty are left.
    expect(okOf(await Promise.all(Array.from({ length: 10 }, () => sign(token))))).toBe(10);
  });

  test('is charged for every item of a batch', async () => {
    const token = fresh(6);
    const startedMs = performance.now();
    const items = Array.from({ length: 20 }, () => ({ kid, payload_b3: DIGEST }));
    const { status, body } = await call(service, 'POST', '/sign/batch', { items }, token);
    expect(status).toBe(200);
    const codes = codesOf(body['items']);
    expect(codes.filter((code) => code === 'ok').length).toBeGreaterThanOrEqual(6);
    expect(codes.filter((code) => code === 'ok').length).toBeLessThanOrEqual(mostSince(6, startedMs));
    expect(body['items'].filter((item: any) => item.error !== undefined).flatMap((item: unknown) => faultsOfItem(item, ['Backpressure']))).toEqual([]);
    expect((await sign(token)).status).toBe(429);
  });

  test('fills up again with time', async () => {
    const token = fresh(5);
    await Promise.all(Array.from({ length: 10 }, () => sign(token)));
    expect((await sign(token)).status).toBe(429);
    await eventually('a call is let through again', 2000, async () => (await sign(token)).status === 200);
  });
});

describe('the signing rate of the instance', () => {
  test('is shared by all tokens, costs a batch its items, and leaves verifying alone', async () => {
    const { kid: other } = await createKey(limited, { alg: 'ed25519' });
    const startedMs = performance.now();
    const items = Array.from({ length: 15 }, () => ({ kid: other, payload_b3: DIGEST }));
    const { body } = await call(limited, 'POST', '/sign/batch', { items });
    const singles = await Promise.all(Array.from({ length: 15 }, (_, i) => call(limited, 'POST', '/sign', { kid: other, payload_b3: DIGEST }, tokenOf({ clientId: `c${i}` }))));
    const signed = codesOf(body['items']).filter((code) => code === 'ok').length;
    expect(signed).toBeGreaterThanOrEqual(10);
    expect(signed + okOf(singles)).toBeLessThanOrEqual(mostSince(10, startedMs));
    const refused = singles.find((one) => one.status !== 200);
    expect({ status: refused?.status, code: refused?.body['error'].code, retryAfter: refused?.headers.get('retry-after') }).toEqual({ status: 429, code: 'Backpressure', retryAfter: expect.stringMatching(/^[1-9]\d*$/) });

    const { sigs } = body['items'][0];
    const verified = await Promise.all(Array.from({ length: 40 }, () => call(limited, 'POST', '/verify', { kid: other, payload_b3: DIGEST, sigs })));
    expect(okOf(verified)).toBe(40);
  });
});

test('what was refused for its rate is counted, and no fault of the service', async () => {
  const metrics = await (await fetch(`${service.metricsUrl}/metrics`)).text();
  expect(Number(/^kms_reject_total\{reason="backpressure"\} (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(50);
  expect(metrics).not.toMatch(/result="Internal"/);
});
