import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Wired } from '../harness/wired.ts';
import { createClient } from '../../client/src/index.ts';
import { entriesOf } from '../harness/entries.ts';
import { call, inFuture, tokenOf } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

const HOUR = `expires = ${inFuture(3_600_000)}`;
const token = (...caveats: readonly string[]): string => tokenOf({ caveats: [...caveats, HOUR] });
const ADMIN = token('scope = kms:admin', 'tenant = *');

let wired: Wired;
beforeAll(async () => { wired = await startWired(); });
afterAll(() => wired.stop());

describe('accepting the clock', () => {
  test('is trusted from then on, and stands in the log with who said so', async () => {
    wired.clock.step(600_000);
    wired.clock.guard.check();
    expect((await call(wired, 'POST', '/keys', { tenant: 'core', purpose: 'a' })).body['error']?.code).toBe('ClockSkew');
    const entries = await entriesOf(wired, async () => {
      const { audit } = await createClient({ url: wired.apiUrl, token: ADMIN }).acceptClock({ op_id: 'ok' });
      expect(audit).toEqual({ index: wired.audit.size() - 1, op_id: 'ok' });
    });
    expect(entries).toMatchObject([{ op: 'accept-clock', op_id: 'ok', result: 'ok', actor: { client_id: 'tester', via: 'tcp' } }]);
    expect(wired.audit.asked.at(-1)?.mustFlush).toBe(true);
    expect((await call(wired, 'POST', '/keys', { tenant: 'core', purpose: 'a' })).status).toBe(201);
  });

  test('is not done when it cannot be entered', async () => {
    wired.clock.step(-600_000);
    wired.clock.guard.check();
    wired.audit.breakWith('AuditUnavailable');
    expect((await call(wired, 'POST', '/admin/accept-clock', {}, ADMIN)).status).toBe(503);
    expect(wired.clock.guard.isTrusted()).toBe(false);
    wired.audit.breakWith(undefined);
    expect((await call(wired, 'POST', '/admin/accept-clock', {}, ADMIN)).status).toBe(200);
    expect(wired.clock.guard.isTrusted()).toBe(true);
  });
});

test('a clock that is set back brings back no token: the log knows that it had expired', async () => {
  const short = tokenOf({ caveats: ['scope = kms:read', 'tenant = core', `expires = ${inFuture(300_000)}`] });
  const accept = () => call(wired, 'POST', '/admin/accept-clock', {}, ADMIN);
  wired.clock.step(600_000);
  expect((await accept()).status).toBe(200);
  expect((await call(wired, 'GET', '/token', undefined, short)).status).toBe(401);
  wired.clock.step(0);
  expect((await accept()).status).toBe(200);
  expect((await call(wired, 'GET', '/token', undefined, short)).status).toBe(401);
});

describe.each(['/admin/accept-clock', '/admin/log-keys'])('%s', (path) => {
  test.each([
    ['without the scope', ['scope = kms:audit,kms:rotate', 'tenant = *']], ['for one tenant', ['scope = kms:admin', 'tenant = core']],
    ['for one purpose', ['scope = kms:admin', 'tenant = *', 'purpose = a']], ['for one key', ['scope = kms:admin', 'tenant = *', 'kid = core/a/ed25519/01890000-0000-7000-8000-000000000001']],
  ] as const)('is refused to a token %s, and the refusal is entered', async (_what, caveats) => {
    await wired.operations.close();
    const entries = await entriesOf(wired, async () => expect((await call(wired, 'POST', path, {}, token(...caveats))).status).toBe(403));
    expect(entries).toMatchObject([{ op: path.replace('/admin/', ''), result: 'NoCapability', actor: { client_id: 'tester' } }]);
  });

  test.each([{ extra: 1 }, { op_id: 'a b' }, []])('takes no body like %j', async (body) => {
    expect((await call(wired, 'POST', path, body, ADMIN)).status).toBe(400);
  });

  test('is a POST', async () => {
    expect((await call(wired, 'GET', path, undefined, ADMIN)).status).toBe(404);
  });
});

describe('changing the keys of the log', () => {
  test('says whether the old ones are to be trusted', async () => {
    const client = createClient({ url: wired.apiUrl, token: ADMIN });
    expect(await client.rotateLogKeys({ op_id: 'k1' })).toMatchObject({ keys: ['command'], audit: { op_id: 'k1' } });
    expect(await client.rotateLogKeys({ compromised: true })).toMatchObject({ keys: ['compromised'], until: '2026-01-01T00:00:00.000Z' });
    expect((await call(wired, 'POST', '/admin/log-keys', { compromised: 'yes' }, ADMIN)).status).toBe(400);
  });
});

describe('the calls about the log', () => {
  test('are in /openapi.json as they are', async () => {
    const { paths } = (await call(wired, 'GET', '/openapi.json')).body;
    const tile = paths['/v1/kms/audit/tile/{tile}'].get;
    expect(Object.keys(tile.responses['200'].content)).toEqual(['application/octet-stream']);
    expect(tile.parameters).toMatchObject([{ name: 'tile', in: 'path', required: true }]);
    expect(paths['/v1/kms/audit/receipts/{index}'].get.parameters).toMatchObject([{ name: 'index', in: 'path', schema: { pattern: '^(0|[1-9][0-9]{0,14})$' } }]);
    expect(paths['/v1/kms/audit/records'].get.parameters.map(({ name }: { name: string }) => name)).toEqual(['from', 'limit', 'kid', 'tenant', 'op', 'result']);
    expect(Object.keys(paths['/v1/kms/audit/records'].get.responses['200'].content['application/json'].schema.properties)).toEqual(['records', 'next', 'tree_size']);
    expect(paths['/v1/kms/audit/checkpoint'].get.responses['200'].content).toHaveProperty('text/plain; charset=utf-8');
    for (const path of ['log-keys', 'accept-clock']) expect(paths[`/v1/kms/admin/${path}`]).toHaveProperty('post');
  });
});
