import type { Entry } from '../harness/entries.ts';
import type { Answer } from '../harness/service.ts';
import type { Wired } from '../harness/wired.ts';
import { blake3 } from '@noble/hashes/blake3.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { entriesOf } from '../harness/entries.ts';
import { call, createKey, everything, tokenOf } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

/** What DESIGN §8 says that the entry of each operation has, of those that were done and of those that were refused. */
const DIGEST = 'ab'.repeat(32);
const hashOf = (bytes: string | Buffer): string => bytesToHex(blake3(Buffer.from(bytes)));
/** RFC 8785 of a body with members of one level, in this order. */
const hashOfBody = (body: object): string => hashOf(JSON.stringify(body));
const ME = { client_id: 'tester', root_key_id: 'test', token_id: 't1', via: 'tcp', peer: '127.0.0.1' };

let wired: Wired;
let signing: string;
let wrapping: string;
let sigs: { signature_b64: string }[];
let wrapped: string;
beforeAll(async () => {
  wired = await startWired();
  signing = (await createKey(wired, { alg: 'ed25519' }))['kid'] as string;
  wrapping = (await createKey(wired, { purpose: 'keep', alg: 'aes-256-gcm' }))['kid'] as string;
  sigs = (await call(wired, 'POST', '/sign', { kid: signing, payload_b3: DIGEST })).body['sigs'];
  wrapped = (await call(wired, 'POST', '/wrap', { kid: wrapping, size: 32 })).body['wrapped_b64'];
});
afterAll(() => wired.stop());

/** The entries of one call, and its answer. */
async function logged(method: string, path: string, body: object, token?: string): Promise<{ readonly entries: readonly Entry[]; readonly answer: Answer }> {
  let answer: Answer | undefined;
  const entries = await entriesOf(wired, async () => { answer = await call(wired, method, path, body, token); });
  return { entries, answer: answer ?? expect.unreachable('it was answered') };
}

const SIGNER = () => ({ kid: signing, tenant: 'core', purpose: 'audit', alg: 'ed25519', actor: ME, v: 1 });
const WRAPPER = () => ({ kid: wrapping, tenant: 'core', purpose: 'keep', alg: 'aes-256-gcm', actor: ME, v: 1 });

describe('the entry of what was done', () => {
  test('a signature: of the payload, under the name that the caller gave, where the answer says', async () => {
    const { entries, answer } = await logged('POST', '/sign', { kid: signing, payload_b3: DIGEST, op_id: 'mine' });
    expect(entries).toMatchObject([{ ...SIGNER(), op: 'sign', op_id: 'mine', result: 'ok', input_hash: DIGEST, policy: { mode: 'or' } }]);
    expect(answer.body['audit']).toEqual({ index: wired.audit.size() - 1, op_id: 'mine' });
    const { entries: [ofBytes] } = await logged('POST', '/sign', { kid: signing, payload_b64: Buffer.from('the deed').toString('base64') });
    expect(ofBytes?.['input_hash']).toBe(hashOf('the deed'));
  });

  test.each([['ok', true], ['invalid', false]] as const)('a verify that says %s', async (result, isRight) => {
    const named = isRight ? sigs : sigs.map((sig) => ({ ...sig, signature_b64: Buffer.alloc(64).toString('base64') }));
    const { entries, answer } = await logged('POST', '/verify', { kid: signing, payload_b3: DIGEST, sigs: named });
    expect(answer.body['ok']).toBe(isRight);
    expect(entries).toMatchObject([{ ...SIGNER(), op: 'verify', result, input_hash: DIGEST, policy: { mode: 'or' } }]);
  });

  test('wrap, unwrap and rewrap: of the wrapped bytes, never of what is in them', async () => {
    const made = await logged('POST', '/wrap', { kid: wrapping, plaintext_key_b64: Buffer.alloc(32, 7).toString('base64'), op_id: 'w' });
    const bytes = Buffer.from(made.answer.body['wrapped_b64'], 'base64');
    expect(made.entries).toMatchObject([{ ...WRAPPER(), op: 'wrap', op_id: 'w', result: 'ok', input_hash: hashOf(bytes) }]);
    for (const op of ['unwrap', 'rewrap']) {
      const { entries } = await logged('POST', `/${op}`, { wrapped_b64: bytes.toString('base64') });
      expect(entries).toMatchObject([{ ...WRAPPER(), op, result: 'ok', input_hash: hashOf(bytes) }]);
    }
  });

  test('what changes a key: an intent and its outcome, of the body as it came, without its hints', async () => {
    const body = { alg: 'ed25519', op_id: 'new', purpose: 'new', tenant: 'core' };
    const created = await logged('POST', '/keys', { ...body, policy_hints: { risk: 'low' } });
    const { kid } = created.answer.body as { kid: string };
    const name = { op: 'create', op_id: 'new', tenant: 'core', purpose: 'new', alg: 'ed25519', input_hash: hashOfBody(body), actor: ME };
    expect(created.entries).toMatchObject([{ ...name, result: 'intent' }, { ...name, result: 'ok', kid, key_seq: 1 }]);
    expect([created.entries[0]?.['kid'], created.entries[0]?.['generation']]).toEqual([undefined, undefined]);
    for (const [i, op] of ['rotate', 'disable', 'enable', 'destroy', 'restore'].entries()) {
      const sent = { op_id: `${op}-1` };
      const { entries } = await logged('POST', `/keys/${encodeURIComponent(kid.replace('#v1', ''))}/${op}`, sent);
      const outcome = { op, op_id: sent.op_id, input_hash: hashOfBody(sent), kid: kid.replace('#v1', '#v2') };
      expect(entries).toMatchObject([{ ...outcome, kid: op === 'rotate' ? kid : outcome.kid, result: 'intent' }, { ...outcome, result: 'ok', generation: (created.entries[1]?.['generation'] as number) + i + 1 }]);
    }
  });

  test('each in a place of its own in the count of its key', async () => {
    const { kid } = await createKey(wired, { alg: 'ed25519', purpose: 'count' });
    const counts: number[] = [];
    for (let i = 0; i < 3; i++) counts.push((await logged('POST', '/sign', { kid, payload_b3: DIGEST })).entries[0]?.['key_seq'] as number);
    expect(counts).toEqual([2, 3, 4]);
  });
});

describe('the entry of what was refused', () => {
  test.each([
    ['sign', () => ['/sign', { kid: signing, payload_b3: DIGEST }, DIGEST]],
    ['verify', () => ['/verify', { kid: signing, payload_b3: DIGEST, sigs }, DIGEST]],
    ['unwrap', () => ['/unwrap', { wrapped_b64: wrapped }, hashOf(Buffer.from(wrapped, 'base64'))]],
    ['rewrap', () => ['/rewrap', { wrapped_b64: wrapped }, hashOf(Buffer.from(wrapped, 'base64'))]],
    // What a refused wrap was given is a key.
    ['wrap', () => ['/wrap', { kid: wrapping, plaintext_key_b64: 'AAAA' }, hashOf('')]],
    ['create', () => ['/keys', { purpose: 'x', tenant: 'core' }, hashOfBody({ purpose: 'x', tenant: 'core' })]],
    ['rotate', () => [`/keys/${encodeURIComponent(signing)}/rotate`, {}, hashOfBody({})]],
  ] as readonly (readonly [string, () => readonly [string, object, string]])[])('%s: once, with what was asked, and whose token it was', async (op, request) => {
    const [path, body, hash] = request();
    // Refusals of one kind in one second are counted in one entry.
    const caveats = everything('other');
    const { entries, answer } = await logged('POST', path, body, tokenOf({ caveats, clientId: `${op}-er` }));
    expect(answer.status).toBe(403);
    expect(entries).toMatchObject([{ op, result: 'NoCapability', reason: 'the caveats of the token do not admit this', input_hash: hash, tenant: 'other', actor: { ...ME, client_id: `${op}-er` } }]);
    expect(entries[0]).not.toHaveProperty('kid');
  });

  test.each(['sign', 'verify'])('each item of a batch of %s that is refused has what was asked of it; one that cannot be read, nothing', async (op) => {
    const by = tokenOf({ caveats: everything('other'), clientId: `${op}-batch` });
    const item = (payload: object): object => ({ kid: signing, ...payload, ...(op === 'verify' && { sigs }) });
    const { entries } = await logged('POST', `/${op}/batch`, { items: [item({ payload_b3: DIGEST })] }, by);
    expect(entries).toMatchObject([{ op, result: 'NoCapability', input_hash: DIGEST, actor: { client_id: `${op}-batch` } }]);
    const { entries: unread } = await logged('POST', `/${op}/batch`, { items: [item({ payload_b3: 'short' })] }, by);
    expect(unread).toMatchObject([{ op, result: 'BadRequest', input_hash: hashOf('') }]);
  });
});
