import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { Wired } from '../harness/wired.ts';
import { entriesFrom, entriesOf } from '../harness/entries.ts';
import { call, createKey } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

const DIGEST = 'ab'.repeat(32);

/** How often a private key was made or used. */
let uses = 0;
function counting({ signatures, kems }: Primitives): Primitives {
  return {
    signatures: mapped(signatures, (primitive) => ({ ...primitive, signerFromSeed: (seed: Buffer) => watched(primitive.signerFromSeed(seed)) })),
    kems: mapped(kems, (primitive) => ({ ...primitive, fromSeed: (seed: Buffer) => watched(primitive.fromSeed(seed)) })),
  };
}

function watched<T extends object>(key: T): T {
  uses++;
  const members = Object.entries(key).map(([name, member]) => [name, typeof member !== 'function' ? member : (...args: unknown[]): unknown => {
    uses++;
    return Reflect.apply(member, key, args);
  }]);
  return Object.fromEntries(members) as T;
}

function mapped<K extends string, V>(record: Readonly<Record<K, V>>, change: (value: V) => V): Record<K, V> {
  return Object.fromEntries(Object.entries<V>(record).map(([key, value]) => [key, change(value)])) as Record<K, V>;
}

let wired: Wired;
let signing: string;
let wrapping: string;
let wrapped: string;
let sigs: unknown;
beforeAll(async () => {
  wired = await startWired({ watch: counting });
  signing = (await createKey(wired))['kid'] as string;
  wrapping = (await createKey(wired, { alg: 'x25519+ml-kem' }))['kid'] as string;
  wrapped = (await call(wired, 'POST', '/wrap', { kid: wrapping, size: 32 })).body['wrapped_b64'];
  ({ sigs } = (await call(wired, 'POST', '/sign', { kid: signing, payload_b3: DIGEST })).body);
});
afterAll(() => wired.stop());
afterEach(() => wired.audit.breakWith(undefined));

const writing: readonly (readonly [string, () => readonly [string, object]])[] = [
  ['sign', () => ['/sign', { kid: signing, payload_b3: DIGEST }]],
  ['wrap', () => ['/wrap', { kid: wrapping, size: 32 }]],
  ['unwrap', () => ['/unwrap', { wrapped_b64: wrapped }]],
  ['rewrap', () => ['/rewrap', { wrapped_b64: wrapped }]],
  ['create', () => ['/keys', { tenant: 'core', purpose: 'audit' }]],
  ['rotate', () => [`/keys/${encodeURIComponent(signing)}/rotate`, {}]],
  ['destroy', () => [`/keys/${encodeURIComponent(signing)}/destroy`, {}]],
];

describe('while the log cannot be written', () => {
  test.each(writing)('%s is refused, gives nothing away and changes nothing', async (_op, request) => {
    const before = (await call(wired, 'GET', `/keys/${encodeURIComponent(signing)}`)).body;
    wired.audit.breakWith('AuditUnavailable');
    const { status, headers, body } = await call(wired, 'POST', ...request());
    expect([status, body['error']?.code, headers.get('retry-after')]).toEqual([503, 'AuditUnavailable', '1']);
    expect(Object.keys(body)).toEqual(['error']);
    expect((await call(wired, 'GET', `/keys/${encodeURIComponent(signing)}`)).body).toEqual(before);
  });

  test.each(writing)('%s touches no private key once that is known', async (_op, request) => {
    wired.audit.breakWith('AuditUnavailable', { isKnown: true });
    const before = uses;
    expect((await call(wired, 'POST', ...request())).body['error']?.code).toBe('AuditUnavailable');
    expect(uses).toBe(before);
  });

  test('verify answers, and the service says that it is not in the log', async () => {
    wired.audit.breakWith('AuditUnavailable', { isKnown: true });
    const { status, body } = await call(wired, 'POST', '/verify', { kid: signing, payload_b3: DIGEST, sigs });
    expect([status, body['ok']]).toEqual([200, true]);
    expect(wired.log()).toContain('"event":"verify_not_logged"');
    const { body: batch } = await call(wired, 'POST', '/verify/batch', { items: [{ kid: signing, payload_b3: DIGEST, sigs }] });
    expect(batch['items'][0].ok).toBe(true);
  });

  test('reads go on, and refusals leave as what they are', async () => {
    wired.audit.breakWith('AuditUnavailable', { isKnown: true });
    expect((await call(wired, 'GET', '/keys')).status).toBe(200);
    expect((await call(wired, 'GET', '/audit/records')).status).toBe(200);
    expect((await call(wired, 'GET', '/nowhere')).status).toBe(404);
    expect((await call(wired, 'POST', '/sign', {}, 'bad')).status).toBe(401);
  });

  test('a full queue is 429', async () => {
    wired.audit.breakWith('Backpressure');
    const { status, headers, body } = await call(wired, 'POST', '/sign', { kid: signing, payload_b3: DIGEST });
    expect([status, body['error'].code, headers.get('retry-after')]).toEqual([429, 'Backpressure', '1']);
  });
});

describe('what is answered is in the log', () => {
  test('each item of a batch is an entry of its own, with its own name', async () => {
    const { items } = (await call(wired, 'POST', '/sign/batch', { items: Array.from({ length: 64 }, (_, i) => ({ kid: signing, payload_b3: DIGEST, op_id: `b${i}` })) })).body;
    for (const [i, { audit }] of (items as { audit: { index: number; op_id: string } }[]).entries()) {
      expect(audit.op_id).toBe(`b${i}`);
      expect((await entriesFrom(wired.audit, audit.index))[0]).toMatchObject({ op: 'sign', op_id: `b${i}`, result: 'ok', kid: signing, input_hash: DIGEST });
    }
  });

  test('mutations are flushed whatever the log is set to; a create says from the start whose key it is', async () => {
    const before = wired.audit.asked.length;
    const entries = await entriesOf(wired, () => createKey(wired, { purpose: 'new', policy_hints: { a: 1 }, op_id: 'n1' }));
    expect(wired.audit.asked.slice(before).map(({ mustFlush }) => mustFlush)).toEqual([true, true]);
    expect(entries).toMatchObject([
      { op: 'create', op_id: 'n1', result: 'intent', tenant: 'core', purpose: 'new', alg: 'ed25519+ml-dsa' },
      { op: 'create', op_id: 'n1', result: 'ok', tenant: 'core', purpose: 'new', key_seq: 1 },
    ]);
    expect(entries[0]?.['input_hash']).toBe(entries[1]?.['input_hash']);
  });

  test('a mutation that is sent again is an entry too, about the key that is answered', async () => {
    const create = { purpose: 'again', op_id: 'again' };
    const { kid } = await createKey(wired, create);
    expect(await entriesOf(wired, () => createKey(wired, create))).toMatchObject([{ op: 'create', op_id: 'again', result: 'ok', reason: 'replay', kid, purpose: 'again' }]);
  });

  test('no entry carries a payload, a key or a token', async () => {
    const text = JSON.stringify(await entriesFrom(wired.audit));
    expect(text).not.toContain(wrapped.slice(0, 40));
    expect(text).not.toMatch(/plaintext|payload_b64|wrapped_b64|signature/);
  });
});
