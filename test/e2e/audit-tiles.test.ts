import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Wired } from '../harness/wired.ts';
import { createClient, parseVkey, verifyCheckpointNote } from '../../client/src/index.ts';
import { leafHash } from '../../client/src/log/hash.ts';
import { rootOf } from '../../src/core/log/proofs.ts';
import { splitBundle, tilePath } from '../../src/core/log/tiles.ts';
import { createTestSigner } from '../harness/log-signer.ts';
import { rawRequest, sendRaw } from '../harness/raw-http.ts';
import { call, inFuture, tokenOf } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

const HOUR = `expires = ${inFuture(3_600_000)}`;
const token = (...caveats: readonly string[]): string => tokenOf({ caveats: [...caveats, HOUR] });
const OPERATOR = token('scope = kms:audit', 'tenant = *');
const READER = token('scope = kms:read', 'tenant = red');
const SIZE = 70_000;

let wired: Wired;
beforeAll(async () => {
  wired = await startWired();
  const event = { op: 'sign', op_id: 'x', corr_id: 'c', tenant: 'red', kid: undefined, alg: undefined, purpose: undefined, input_hash: '00', result: 'ok', reason: undefined, actor: { via: 'tcp' }, policy: undefined, generation: undefined } as const;
  // Entry 0 is the log's own.
  while (wired.audit.size() < SIZE) await wired.audit.append(Array.from({ length: Math.min(1000, SIZE - wired.audit.size()) }, () => event));
  await wired.audit.checkpointNow();
});
afterAll(() => wired.stop());

const get = async (path: string, by: string) => {
  const response = await fetch(`${wired.apiUrl}/v1/kms/audit/${path}`, { headers: { authorization: `Bearer ${by}` } });
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, bytes, type: response.headers.get('content-type'), cache: response.headers.get('cache-control') };
};
/** As the bytes stand on the wire: nothing is made tidy on the way. */
const statusOf = async (path: string, by = OPERATOR): Promise<number> => (await sendRaw(wired.apiUrl, rawRequest({ method: 'GET', path: `/audit/${path}`, token: by }))).status;

describe('a verifier', () => {
  test.each([['an auditor', OPERATOR], ['a reader of one tenant', READER]] as const)('%s checks the whole tree with checkpoint, keys and tiles', async (_who, by) => {
    const client = createClient({ url: wired.apiUrl, token: by });
    const { origin, keys } = await client.auditKeys();
    const vkeys = keys.map(({ vkey }) => parseVkey(vkey)).filter((key) => key !== undefined);
    const verified = verifyCheckpointNote(await client.checkpoint(), vkeys);
    if ('fault' in verified) throw new Error(verified.fault);
    expect(verified.checkpoint).toMatchObject({ origin, size: SIZE });
    const root = await rootOf(SIZE, async (level, index, width) => Buffer.from(await client.tile(tilePath(level, index, width))));
    expect(root.equals(verified.checkpoint.rootHash)).toBe(true);
  });

  test('an operator reads the entries, and each is the leaf at its place', async () => {
    const client = createClient({ url: wired.apiUrl, token: OPERATOR });
    const [bundle, tile] = await Promise.all([client.tile('tile/entries/272'), client.tile('tile/0/272')]);
    const entries = splitBundle(Buffer.from(bundle)) ?? [];
    expect(entries).toHaveLength(256);
    expect(Buffer.concat(entries.map(leafHash)).equals(tile)).toBe(true);
    expect(entries).toEqual(await wired.audit.entries(272 * 256, 256));
    expect(splitBundle(Buffer.from(await client.tile('tile/entries/273.p/112')))).toHaveLength(112);
  });

  test('is told what each answer is, and to keep what never changes', async () => {
    expect(await get('checkpoint', READER)).toMatchObject({ status: 200, type: 'text/plain; charset=utf-8', cache: 'no-store' });
    for (const path of ['tile/0/000', 'tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1', 'tile/entries/000']) {
      expect(await get(path, OPERATOR)).toMatchObject({ status: 200, type: 'application/octet-stream', cache: 'private, max-age=31536000, immutable' });
    }
    expect((await get('tile/0/000', READER)).bytes).toHaveLength(8192);
  });

  test('a refusal is JSON, and is not kept', async () => {
    expect(await get('tile/0/999', READER)).toMatchObject({ status: 404, type: 'application/json; charset=utf-8', cache: 'no-store' });
  });
});

describe('entries are for the operator alone', () => {
  test.each([
    ['kms:read', ['scope = kms:read', 'tenant = *']], ['one tenant', ['scope = kms:audit', 'tenant = red']], ['a purpose', ['scope = kms:audit', 'tenant = *', 'purpose = a']],
    ['an algorithm', ['scope = kms:audit', 'tenant = *', 'alg = ed25519']], ['a kid', ['scope = kms:audit', 'tenant = *', 'kid = red/a/ed25519/01890000-0000-7000-8000-000000000001']],
    ['a tenant besides *', ['scope = kms:audit', 'tenant = *', 'tenant = red']], ['every other scope', ['scope = kms:read,kms:sign,kms:admin', 'tenant = *']],
  ] as const)('not for a token with %s', async (_what, caveats) => {
    const [there, not] = await Promise.all(['tile/entries/000', 'tile/entries/999'].map((path) => get(path, token(...caveats))));
    expect([there?.status, not?.status]).toEqual([403, 403]);
    const hidden = [there, not].map((answer) => answer?.bytes.toString().replaceAll(/"(ts|request_id)":"[^"]*"/g, ''));
    expect(hidden[0]).toBe(hidden[1]);
  });

  test('other limits on the token do not matter', async () => {
    expect((await get('tile/entries/000', token('scope = kms:audit', 'tenant = *', 'peer = 127.0.0.0/8', 'rps = 100'))).status).toBe(200);
  });

  test.each(['checkpoint', 'keys', 'tile/0/000'])('%s needs kms:audit or kms:read', async (path) => {
    expect(await statusOf(path, token('scope = kms:sign,kms:admin', 'tenant = *'))).toBe(403);
    expect(await statusOf(path, 'none')).toBe(401);
  });
});

describe('a tile has one path', () => {
  test.each([
    'tile/0/x000/001', 'tile/0/1', 'tile/0/0001', 'tile/0/x001', 'tile/00/000', 'tile/64/000', 'tile/-1/000', 'tile/0/000.p/0', 'tile/0/000.p/256', 'tile/0/273.p/0112', 'tile/0/273.p/-1', 'tile/0/273.p/255',
    'tile/0/273.p/', 'tile/0/273.p/112/', 'tile/0/273', 'tile/0/274.p/1', 'tile/1/001', 'tile/9/000', 'tile/entries/x000/001', 'tile/Entries/000', 'tile/entries', 'tile/', 'tile/0/', 'tile/0//000', 'tile//0/000',
    'tile/0/000%00', 'tile/0/000%0a', 'tile/0/%2e%2e/000', 'tile/..%2f..%2fidentity.json', 'tile/../checkpoint%2f', 'tile/0/..%2f1/000', 'tile/0/٠٠٠', 'tile/0/%D9%A0', 'tile/0/000;x', 'tile/0/x999/x999/x999/x999/x999/999', 'tile/0/x009/x007/x199/x254/x740/993', 'tile/1e0/000',
  ])('%s is nothing', async (path) => {
    expect([400, 404]).toContain(await statusOf(encodeURI(path).replaceAll('%25', '%')));
  });

  test('with nothing behind it', async () => {
    expect(await statusOf('tile/0/000?width=1')).toBe(400);
    expect(await statusOf('tile/0/000')).toBe(200);
  });

  test('the client sends no other', async () => {
    const client = createClient({ url: wired.apiUrl, token: OPERATOR });
    for (const path of ['0/000', 'tile/0/../keys', 'tile/0/000?x', 'tile/0/000#', '/tile/0/000', 'tile/0/1']) expect(() => client.tile(path)).toThrow(TypeError);
  });
});

describe('before the first checkpoint', () => {
  test('there is none: come again', async () => {
    const signer = createTestSigner();
    signer.failWith(new Error('not now'));
    const fresh = await startWired({ signer });
    const { status, body, headers } = await call(fresh, 'GET', '/audit/checkpoint', undefined, OPERATOR);
    expect([status, body['error'].code, headers.get('retry-after')]).toEqual([503, 'AuditUnavailable', '1']);
    signer.failWith(undefined);
    await fresh.stop();
  });
});
