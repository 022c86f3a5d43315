import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Custody } from '../../src/ports/custody.ts';
import type { Wired } from '../harness/wired.ts';
import { canonicalJson } from '../../src/core/canonical-json.ts';
import { blake3Hex } from '../../src/core/digest.ts';
import { KmsError } from '../../src/core/errors.ts';
import { entriesOf } from '../harness/entries.ts';
import { rawRequest, sendRaw } from '../harness/raw-http.ts';
import { call, createKey, everything, tokenOf } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

const DIGEST = 'ab'.repeat(32);
const NOTHING = blake3Hex('');

let wired: Wired;
let kid: string;
beforeAll(async () => {
  wired = await startWired();
  ({ kid } = await createKey(wired, { alg: 'ed25519' }) as { kid: string });
});
afterAll(() => wired.stop());
// Each test is a second of its own.
beforeEach(() => wired.operations.close());

describe('a refused operation is an entry before its answer', () => {
  test.each([
    ['a key that is not there', '/sign', () => ({ kid: kid.replace(/-[0-9a-f]{12}#/, '-000000000000#'), payload_b3: DIGEST }), { op: 'sign', result: 'NotFound', tenant: 'core', alg: 'ed25519', input_hash: DIGEST }],
    ['a key of another tenant, there or not', '/sign', () => ({ kid: kid.replace('core/', 'other/'), payload_b3: DIGEST }), { op: 'sign', result: 'NoCapability', tenant: 'core' }],
    ['an algorithm that does not sign', '/wrap', () => ({ kid, size: 32, op_id: 'w1' }), { op: 'wrap', result: 'Unsupported', kid: () => kid, op_id: 'w1', input_hash: NOTHING }],
    ['bytes that no key has wrapped', '/unwrap', () => ({ wrapped_b64: 'AAAA' }), { op: 'unwrap', result: 'UnwrapFailed', input_hash: blake3Hex(Buffer.alloc(3)) }],
    ['a body that does not fit', '/sign', () => ({ kid, payload_b3: 'x' }), { op: 'sign', result: 'BadRequest', tenant: 'core' }],
    ['a kid that is none', '/verify', () => ({ kid: 'nonsense', payload_b3: DIGEST, sigs: [{ alg: 'ed25519', signature_b64: '' }] }), { op: 'verify', result: 'BadRequest' }],
    ['a key of a reserved tenant', '/keys', () => ({ tenant: 'ron-kms', purpose: 'p', op_id: 'c1' }), { op: 'create', result: 'NoCapability', op_id: 'c1', tenant: 'core' }],
  ] as const)('%s', async (_what, path, body, expected) => {
    const [entry, ...more] = await entriesOf(wired, () => call(wired, 'POST', path, body()));
    expect(more).toEqual([]);
    const { kid: about, ...rest } = expected as Record<string, unknown>;
    expect(entry).toMatchObject({ ...rest, ...(typeof about === 'function' && { kid }), actor: { client_id: 'tester', root_key_id: 'test', token_id: 't1', via: 'tcp', peer: '127.0.0.1' } });
  });

  test('a mutation that is refused after its intent is an outcome, and not a refusal besides', async () => {
    const entries = await entriesOf(wired, () => call(wired, 'POST', `/keys/${encodeURIComponent(kid)}/restore`, { op_id: 'r1' }));
    expect(entries.map(({ op, result }) => [op, result])).toEqual([['restore', 'KeyState']]);
  });

  test('one that fails behind its intent, too: no refusal stands beside the outcome', async () => {
    const failing = await startWired({ custody: { generate: () => Promise.reject(new KmsError('StoreUnavailable')) } as unknown as Custody });
    onTestFinished(() => failing.stop());
    const entries = await entriesOf(failing, async () => {
      expect((await call(failing, 'POST', '/keys', { tenant: 'core', purpose: 'p' })).status).toBe(503);
      await failing.operations.close();
    });
    expect(entries.map(({ op, result }) => [op, result])).toEqual([['create', 'intent'], ['create', 'StoreUnavailable']]);
  });

  test('each refused item of a batch counts', async () => {
    const items = Array.from({ length: 20 }, () => ({ kid: kid.replace('core/', 'other/'), payload_b3: DIGEST }));
    const entries = await entriesOf(wired, async () => {
      await call(wired, 'POST', '/sign/batch', { items });
      await wired.operations.close();
    });
    expect(entries.map(({ op, refusals }) => [op, refusals?.count])).toEqual([['sign', undefined], ['refusals', 19]]);
    expect(entries[0]).toMatchObject({ input_hash: DIGEST });
  });

  test.each([
    ['create', '/keys', { tenant: 'other', purpose: 'p' }],
    ['patch', () => `/keys/${encodeURIComponent(kid.replace('core/', 'other/'))}`, { labels: { a: '1' } }],
    ['rotate', () => `/keys/${encodeURIComponent(kid.replace('core/', 'other/'))}/rotate`, { op_id: 'r2' }],
    ['destroy', () => `/keys/${encodeURIComponent(kid.replace('core/', 'other/'))}/destroy`, { after: '9d' }],
    ['accept-clock', '/admin/accept-clock', { op_id: 'a1' }],
    ['rekey', '/admin/rekey', { op_id: 'k1' }],
    ['backup', '/admin/backup', { op_id: 'b1' }],
    ['reload', '/admin/reload', {}],
    ['log-keys', '/admin/log-keys', { compromised: true }],
  ] as const)('has the hash of what was asked: %s', async (op, path, body) => {
    const [entry] = await entriesOf(wired, () => call(wired, op === 'patch' ? 'PATCH' : 'POST', typeof path === 'string' ? path : path(), body));
    expect(entry).toMatchObject({ op, result: 'NoCapability', input_hash: blake3Hex(canonicalJson(body)) });
  });

  test('reads that are refused are entries too; those that are answered are not', async () => {
    const entries = await entriesOf(wired, async () => {
      await call(wired, 'GET', '/keys');
      await call(wired, 'GET', `/keys/${encodeURIComponent(kid.replace('core/', 'other/'))}`);
    });
    expect(entries).toMatchObject([{ op: 'refusals', result: 'NoCapability', tenant: 'core', actor: { client_id: 'tester' }, refusals: { count: 1 } }]);
  });

  test('asking for a private key leaves its trace', async () => {
    expect(await entriesOf(wired, () => call(wired, 'GET', `/keys/${encodeURIComponent(kid)}/private`))).toMatchObject([{ op: 'refusals', result: 'ExportForbidden', actor: { client_id: 'tester' } }]);
  });
});

describe('what nobody has vouched for is in no entry', () => {
  const MARK = 'zq7canary';
  const forged = () => tokenOf({ secret: Buffer.alloc(32, 9), clientId: MARK, tokenId: MARK, caveats: everything(MARK) });

  test.each([
    ['a token with a bad chain', () => call(wired, 'POST', '/sign', { kid, payload_b3: DIGEST, op_id: MARK }, forged()), 'sign'],
    ['a token of an unknown root', () => call(wired, 'POST', '/sign', {}, tokenOf({ rootKeyId: MARK, clientId: MARK })), 'sign'],
    ['nonsense', () => call(wired, 'POST', '/keys', {}, MARK), 'create'],
    ['no token', () => fetch(`${wired.apiUrl}/v1/kms/sign`, { method: 'POST', headers: { 'x-corr-id': '00000000-0000-4000-8000-00000000abcd' } }), 'sign'],
    ['a path where nothing is', () => call(wired, 'GET', `/${MARK}`, undefined, forged()), 'refusals'],
    ['a path that is not well formed', async () => sendRaw(wired.apiUrl, rawRequest({ method: 'GET', path: '/%zz', token: forged() })), 'refusals'],
    ['something that is not HTTP', async () => sendRaw(wired.apiUrl, `${MARK}\r\n\r\n`), 'refusals'],
    ['headers that are too large', async () => sendRaw(wired.apiUrl, rawRequest({ method: 'GET', path: '/token', headers: { a: MARK.repeat(3000) } })), 'refusals'],
  ] as const)('%s', async (_what, send, op) => {
    const entries = await entriesOf(wired, send);
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({ op, actor: { via: 'tcp', peer: '127.0.0.1' }, input_hash: NOTHING });
    expect(Object.keys(entries[0]?.['actor']).toSorted()).toEqual(['peer', 'via']);
    expect(JSON.stringify(entries)).not.toMatch(/zq7canary|00000000abcd|"tenant"/);
  });

  test('an expired token is vouched for by nobody either', async () => {
    const token = tokenOf({ clientId: MARK, caveats: ['scope = kms:sign', 'tenant = core', 'expires = 2020-01-01T00:00:00Z'] });
    expect(JSON.stringify(await entriesOf(wired, () => call(wired, 'POST', '/sign', { kid, payload_b3: DIGEST }, token)))).not.toContain(MARK);
  });
});

describe('a flood of refusals', () => {
  test('does not fill the log, and is counted to the last one', async () => {
    const entries = await entriesOf(wired, async () => {
      for (let round = 0; round < 50; round++) {
        await Promise.all(Array.from({ length: 20 }, (_, i) => call(wired, 'POST', '/sign', { kid, payload_b3: DIGEST }, tokenOf({ secret: Buffer.alloc(32, 9), clientId: `c${round}-${i}` }))));
      }
      await wired.operations.close();
    });
    expect(entries.length).toBeLessThan(20);
    const counted = entries.reduce((sum, { op, refusals }) => sum + (op === 'refusals' ? refusals.count : 1), 0);
    expect(counted).toBe(1000);
  });
});
