import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestService } from '../harness/service.ts';
import { call, createKey, everything, keysetText, ROOT_KEY_ID, ROOT_SECRET, startService, tokenOf } from '../harness/service.ts';

const OTHER_ROOT = { id: 'other-root', secret: Buffer.alloc(32, 5) };
const CREATE = { tenant: 'core', purpose: 'audit', alg: 'ed25519', labels: { a: '1', b: '2' } };
const all = everything('*');

let service: TestService;
let scratch: string;
let number = 0;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'ron-kms-op-'));
  const keyset = join(scratch, 'keys.json');
  writeFileSync(keyset, keysetText([{ id: ROOT_KEY_ID, secret: ROOT_SECRET }, OTHER_ROOT]), { mode: 0o600 });
  service = await startService({ flags: ['--auth-keyset-path', keyset, '--keys-destroy-min-after', '100ms'] });
});
afterAll(async () => {
  await service.stop();
  rmSync(scratch, { recursive: true });
});

const freshId = (): string => `op_${number++}-x`;
const token = tokenOf({ caveats: all });
const create = (fields: Record<string, unknown>, as = token): Promise<Answer> => call(service, 'POST', '/keys', { ...CREATE, ...fields }, as);
const at = (kid: string, action = ''): string => `/keys/${encodeURIComponent(kid)}${action}`;
const documentOf = async (kid: string): Promise<unknown> => (await call(service, 'GET', at(kid), undefined, token)).body;
const keyCount = async (label: string): Promise<number> => (await call(service, 'GET', `/keys?limit=1000&label=${label}`, undefined, token)).body['keys'].length;

describe('create with an op_id', () => {
  test('sent again gives the same key and makes no other, whatever the order of its fields', async () => {
    const op_id = freshId();
    const labels = { mark: op_id, z: '1', a: '2' };
    const first = await create({ op_id, labels });
    const again = await create({ op_id, labels });
    const reordered = await call(service, 'POST', '/keys', { op_id, labels: { z: '1', a: '2', mark: op_id }, purpose: 'audit', alg: 'ed25519', tenant: 'core' }, token);
    expect([first.status, again.status, reordered.status]).toEqual([201, 201, 201]);
    expect(again.body).toEqual(first.body);
    expect(reordered.body).toEqual(first.body);
    expect(await keyCount(`mark:${op_id}`)).toBe(1);
  });

  test('sent again with another body is 409 Conflict, and makes nothing', async () => {
    const op_id = freshId();
    const labels = { mark: op_id };
    await create({ op_id, labels });
    for (const other of [{ purpose: 'other' }, { alg: 'ml-dsa' }, { labels: { mark: op_id, more: '1' } }, { input: 'raw' }, { rotate_after: '1d' }, { policy_hints: { a: 1 } }]) {
      const { status, body } = await create({ op_id, labels, ...other });
      expect({ other, status, code: body['error']?.code, retryable: body['error']?.retryable }).toEqual({ other, status: 409, code: 'Conflict', retryable: false });
    }
    expect(await keyCount(`mark:${op_id}`)).toBe(1);
  });

  test('without one makes a new key each time', async () => {
    const [first, second] = [await create({}), await create({})];
    expect(first.body['kid']).not.toBe(second.body['kid']);
  });

  test('fifty times at once makes one key', async () => {
    const op_id = freshId();
    const answers = await Promise.all(Array.from({ length: 50 }, () => create({ op_id, alg: 'ed25519+ml-dsa', labels: { mark: op_id } })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(await keyCount(`mark:${op_id}`)).toBe(1);
  });

  test('fifty times at once with two bodies makes one key, and the other body is refused', async () => {
    const op_id = freshId();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => create({ op_id, purpose: i % 2 === 0 ? 'even' : 'odd', labels: { mark: op_id } })));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(25);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(25);
    expect(await keyCount(`mark:${op_id}`)).toBe(1);
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['client', {}, tokenOf({ caveats: all, clientId: 'someone-else' })],
    ['root key', {}, tokenOf({ caveats: all, rootKeyId: OTHER_ROOT.id, secret: OTHER_ROOT.secret })],
    ['tenant', { tenant: 'elsewhere' }, token],
  ])('of another %s is another operation', async (_name, fields, as) => {
    const op_id = freshId();
    const mine = await create({ op_id });
    const theirs = await create({ op_id, ...fields }, as);
    expect([mine.status, theirs.status]).toEqual([201, 201]);
    expect(theirs.body['kid']).not.toBe(mine.body['kid']);
  });

  test('is the same operation by another token of the same client', async () => {
    const op_id = freshId();
    const first = await create({ op_id });
    expect((await create({ op_id }, tokenOf({ caveats: everything('core'), tokenId: 't2' }))).body).toEqual(first.body);
  });

  test.each<[string, readonly string[]]>([['scope', ['scope = kms:read,kms:sign']], ['tenant', ['tenant = elsewhere']], ['purpose', ['purpose = other']], ['algorithm', ['alg = ml-dsa']], ['peer', ['peer = 10.0.0.0/8']]])('is refused on replay to a token that has lost the %s', async (_name, lost) => {
    const op_id = freshId();
    expect((await create({ op_id })).status).toBe(201);
    expect((await create({ op_id }, tokenOf({ caveats: [...all, ...lost] }))).status).toBe(403);
  });

  test('that was refused the first time can be used again', async () => {
    const op_id = freshId();
    expect((await create({ op_id, parameter_set: 'ML-DSA-1' })).status).toBe(400);
    expect((await create({ op_id }, tokenOf({ caveats: [...all, 'scope = kms:read'] }))).status).toBe(403);
    expect((await create({ op_id })).status).toBe(201);
  });
});

/** Each mutation of a key: what must be so before it, and a body that is another one. */
const mutations: readonly (readonly [action: string, before: readonly string[], body: Record<string, unknown>, other: Record<string, unknown> | undefined])[] = [
  ['patch', [], { labels: { a: '1' } }, { labels: { a: '2' } }],
  ['rotate', [], {}, undefined],
  ['disable', [], {}, undefined],
  ['enable', ['disable'], {}, undefined],
  ['destroy', [], { after: '7d' }, { after: '8d' }],
  ['restore', ['destroy'], {}, undefined],
];

describe.each(mutations)('%s with an op_id', (action, before, body, other) => {
  const send = (kid: string, fields: Record<string, unknown>, as = token): Promise<Answer> =>
    action === 'patch' ? call(service, 'PATCH', at(kid), fields, as) : call(service, 'POST', at(kid, `/${action}`), fields, as);
  const keyReady = async (): Promise<string> => {
    const { kid } = await createKey(service, { alg: 'ed25519' }, token);
    for (const step of before) await call(service, 'POST', at(kid, `/${step}`), {}, token);
    return kid.split('#')[0];
  };

  test('sent again is answered the same, and done once', async () => {
    const kid = await keyReady();
    const op_id = freshId();
    const first = await send(kid, { ...body, op_id });
    expect(first.status).toBe(200);
    const after = await documentOf(kid);
    for (let i = 0; i < 3; i++) expect((await send(kid, { ...body, op_id })).body).toEqual(first.body);
    expect(await documentOf(kid)).toEqual(after);
  });

  test('sent again after the key went on is answered as then, and undoes nothing', async () => {
    const kid = await keyReady();
    const op_id = freshId();
    const first = await send(kid, { ...body, op_id });
    const opposite = { patch: 'disable', rotate: 'rotate', disable: 'enable', enable: 'disable', destroy: 'restore', restore: 'destroy' }[action];
    expect((await call(service, 'POST', at(kid, `/${opposite}`), {}, token)).status).toBe(200);
    const now = await documentOf(kid);
    const replay = await send(kid, { ...body, op_id });
    expect({ status: replay.status, body: replay.body }).toEqual({ status: 200, body: first.body });
    expect(await documentOf(kid)).toEqual(now);
  });

  test('fifty times at once is done once', async () => {
    const kid = await keyReady();
    const op_id = freshId();
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(kid, { ...body, op_id })));
    expect(new Set(answers.map(({ status, body: answer }) => `${status} ${JSON.stringify(answer)}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(200);
  });

  // The others have nothing in their body that could differ.
  if (other !== undefined) test('with another body is 409 Conflict', async () => {
    const kid = await keyReady();
    const op_id = freshId();
    await send(kid, { ...body, op_id });
    const { status, body: answer } = await send(kid, { ...other, op_id });
    expect({ status, code: answer['error']?.code }).toEqual({ status: 409, code: 'Conflict' });
  });

  test('is another operation on another key, and for another call on the same key', async () => {
    const op_id = freshId();
    const [kid, second] = [await keyReady(), await keyReady()];
    const [mine, theirs] = [await send(kid, { ...body, op_id }), await send(second, { ...body, op_id })];
    expect([mine.status, theirs.status]).toEqual([200, 200]);
    expect(theirs.body['kid']).not.toBe(mine.body['kid']);
    const elsewhere = action === 'patch' ? await call(service, 'POST', at(kid, '/rotate'), { op_id }, token) : await call(service, 'PATCH', at(kid), { labels: { op: 'x' }, op_id }, token);
    expect(elsewhere.status).toBe(200);
  });

  test('is the same operation however the kid is written in the path', async () => {
    const kid = await keyReady();
    const op_id = freshId();
    const first = await send(kid, { ...body, op_id });
    const path = `/keys/${kid}${action === 'patch' ? '' : `/${action}`}`;
    const again = await call(service, action === 'patch' ? 'PATCH' : 'POST', path, { ...body, op_id }, token);
    expect({ status: again.status, body: again.body }).toEqual({ status: 200, body: first.body });
  });

  test('is refused on replay to a token that may not do it any more', async () => {
    const kid = await keyReady();
    const op_id = freshId();
    await send(kid, { ...body, op_id });
    for (const lost of ['scope = kms:read,kms:sign', 'tenant = elsewhere', 'purpose = other', 'kid = core/audit/ed25519/0193a0b1-c2d3-7e4f-8a5b-6c7d8e9f0a1b']) {
      expect((await send(kid, { ...body, op_id }, tokenOf({ caveats: [...all, lost] }))).status, lost).toBe(403);
    }
  });
});

test('on sign and wrap an op_id is only a name: it comes back, and may be used again', async () => {
  const [{ kid }, { kid: wrapping }] = await Promise.all([createKey(service, { alg: 'ed25519' }, token), createKey(service, { alg: 'aes-256-gcm' }, token)]);
  const op_id = freshId();
  const bodies = ['0', '1'].map((digit) => ({ kid, payload_b3: digit.repeat(64), op_id }));
  for (const body of bodies) expect((await call(service, 'POST', '/sign', body, token)).body['audit'].op_id).toBe(op_id);
  for (const size of [16, 32]) expect((await call(service, 'POST', '/wrap', { kid: wrapping, size, op_id }, token)).body['audit'].op_id).toBe(op_id);
  const { body } = await call(service, 'POST', '/sign/batch', { items: bodies }, token);
  expect(body['items'].map((item: any) => item.audit.op_id)).toEqual([op_id, op_id]);
});

test.each(['', 'x'.repeat(65), 'a b', 'a/b', 'a.b', 'é', 'a\n', 'a:b'])('%j is no op_id', async (op_id) => {
  expect((await create({ op_id })).status).toBe(400);
});
