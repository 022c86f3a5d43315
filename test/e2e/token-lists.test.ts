import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { TestService, TokenOptions } from '../harness/service.ts';
import { logUntilNow } from '../harness/log.ts';
import { eventually } from '../harness/poll.ts';
import { refusedStart } from '../harness/refused-start.ts';
import { call, createKey, keysetText, ROOT_KEY_ID, ROOT_SECRET, startService, tokenOf } from '../harness/service.ts';

/** DESIGN §5: a revocation takes effect within 5 s. */
const EFFECT_MS = 5000;
const SECOND = { id: 'second', secret: Buffer.alloc(32, 9) };
const OF_SECOND = { rootKeyId: SECOND.id, secret: SECOND.secret };
const FIRST = { id: ROOT_KEY_ID, secret: ROOT_SECRET };

/** The files are looked at once a second, so every test waits with a service of its own, several at a time. */
interface World {
  readonly service: TestService;
  readonly keyset: string;
  readonly revocations: string;
  statusOf(options: TokenOptions): Promise<number>;
  becomes(status: number, options: TokenOptions): Promise<unknown>;
  readiness(): Promise<{ readonly status: number; readonly body: Record<string, any> }>;
  isReady(ready: boolean): Promise<unknown>;
}

/** Gives the body of a test its service, with both root keys in the set and the token `stolen` on the list. */
function inWorld(work: (world: World) => Promise<void>): () => Promise<void> {
  return async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'ron-kms-lists-'));
    const revocations = join(scratch, 'revocations.json');
    const keyset = join(scratch, 'keys.json');
    writeFileSync(revocations, '{"token_ids":["stolen"],"client_ids":[],"root_key_ids":[]}');
    replace(keyset, keysetText([FIRST, SECOND]));
    const service = await startService({ flags: ['--auth-keyset-path', keyset, '--auth-revocations-path', revocations] });
    const statusOf = async (options: TokenOptions): Promise<number> => (await call(service, 'GET', '/token', undefined, tokenOf(options))).status;
    const readiness = async (): ReturnType<World['readiness']> => {
      const response = await fetch(`${service.metricsUrl}/readyz`);
      return { status: response.status, body: (await response.json()) as Record<string, any> };
    };
    try {
      await work({
        service, keyset, revocations, statusOf, readiness,
        becomes: (status, options) => eventually(`the token is answered ${status}`, EFFECT_MS, async () => (await statusOf(options)) === status),
        isReady: (ready) => eventually(`readiness is ${ready}`, EFFECT_MS, async () => (await readiness()).body['ready'] === ready),
      });
      const log = await logUntilNow(service);
      expect([ROOT_SECRET, SECOND.secret].filter((secret) => log.includes(secret.toString('base64')))).toEqual([]);
    } finally {
      await service.stop();
      rmSync(scratch, { recursive: true, force: true });
    }
  };
}

/** Put in place as ron-auth would: written beside, then renamed. */
function replace(path: string, text: string, mode = 0o600): void {
  writeFileSync(`${path}.new`, text, { mode });
  chmodSync(`${path}.new`, mode);
  renameSync(`${path}.new`, path);
}

const notReady = { ready: false, conditions: { auth_ready: false, config_loaded: true }, missing: [expect.stringContaining('auth_ready')] };

describe.concurrent('the revocation list', () => {
  for (const [what, list, revoked, spared] of [
    ['token', { token_ids: ['lost'] }, { tokenId: 'lost' }, { tokenId: 'other', clientId: 'lost' }],
    ['client', { client_ids: ['gone'] }, { clientId: 'gone' }, { clientId: 'gone2', tokenId: 'gone' }],
    ['root key', { root_key_ids: [ROOT_KEY_ID] }, {}, { ...OF_SECOND, clientId: ROOT_KEY_ID, tokenId: ROOT_KEY_ID }],
  ] as const) {
    test(`stops a ${what} within 5 s, with 401, and nobody else's`, inWorld(async ({ service, revocations, statusOf, becomes }) => {
      expect([await statusOf(revoked), await statusOf(spared)]).toEqual([200, 200]);
      replace(revocations, JSON.stringify(list));
      await becomes(401, revoked);
      const { body } = await call(service, 'GET', '/token', undefined, tokenOf(revoked));
      expect(body['error'].code).toBe('NoCapability');
      expect(await statusOf(spared)).toBe(200);
    }));
  }

  test('stops a token that is in use: within 5 s every connection has its 401, none signs again, and others go on', inWorld(async ({ service, revocations }) => {
    const { kid } = await createKey(service);
    /** Signs on four connections until it is told to stop; gives the statuses with their times. */
    const use = (options: TokenOptions): { readonly answers: { atMs: number; status: number }[]; end(): Promise<unknown> } => {
      const answers: { atMs: number; status: number }[] = [];
      const over = new AbortController();
      const lines = Array.from({ length: 4 }, async () => {
        while (!over.signal.aborted) {
          const { status } = await call(service, 'POST', '/sign', { kid, payload_b3: 'ab'.repeat(32) }, tokenOf(options));
          answers.push({ atMs: performance.now(), status });
        }
      });
      return { answers, end: () => { over.abort(); return Promise.all(lines); } };
    };
    const [revoked, spared] = [use({ tokenId: 'lost' }), use({ tokenId: 'kept' })];
    await eventually('both are in use', EFFECT_MS, () => Math.min(revoked.answers.length, spared.answers.length) > 50);
    const listedAtMs = performance.now();
    replace(revocations, JSON.stringify({ token_ids: ['lost'] }));
    await eventually('every line of it is refused', EFFECT_MS, () => revoked.answers.filter(({ status }) => status === 401).length > 50);
    await Promise.all([revoked.end(), spared.end()]);
    const firstRefusal = revoked.answers.findIndex(({ status }) => status === 401);
    expect((revoked.answers[firstRefusal]?.atMs ?? Infinity) - listedAtMs).toBeLessThan(EFFECT_MS);
    // What was under way on the other three lines is still answered; nothing that came later.
    expect(revoked.answers.slice(firstRefusal).filter(({ status }) => status !== 401).length).toBeLessThanOrEqual(3);
    expect(new Set(spared.answers.map(({ status }) => status))).toEqual(new Set([200]));
  }));

  for (const [what, spoil] of [
    ['garbage', (path: string) => replace(path, 'not json')],
    ['one with an unknown field', (path: string) => replace(path, '{"tokens":["t1"]}')],
    ['one with a field twice', (path: string) => replace(path, '{"token_ids":[],"token_ids":["t1"]}')],
    ['one with a wrong type', (path: string) => replace(path, '{"token_ids":"t1"}')],
    ['empty', (path: string) => replace(path, '')],
    ['gone', (path: string) => rmSync(path)],
  ] as const) {
    test(`that became ${what} stays as it was, and readiness names auth_ready`, inWorld(async ({ revocations, statusOf, isReady, readiness }) => {
      spoil(revocations);
      await isReady(false);
      expect(await readiness()).toMatchObject({ status: 503, body: notReady });
      expect([await statusOf({ tokenId: 'stolen' }), await statusOf({})]).toEqual([401, 200]);
    }));
  }

  test('that was spoilt and then put right is taken, also when it was written in place', inWorld(async ({ revocations, statusOf, becomes, isReady }) => {
    rmSync(revocations);
    await isReady(false);
    writeFileSync(revocations, '{}');
    await isReady(true);
    expect(await statusOf({ tokenId: 'stolen' })).toBe(200);
    writeFileSync(revocations, '{"client_ids":["tester"]}');
    await becomes(401, {});
  }));
});

describe.concurrent('the key set', () => {
  test('is swapped while it runs: a new root key starts to work, and the old one stops', inWorld(async ({ keyset, statusOf, becomes, readiness }) => {
    const third = { id: 'third', secret: Buffer.alloc(32, 11) };
    const byThird = { rootKeyId: third.id, secret: third.secret };
    expect([await statusOf({}), await statusOf(OF_SECOND), await statusOf(byThird)]).toEqual([200, 200, 401]);
    replace(keyset, keysetText([SECOND, third]));
    await becomes(200, byThird);
    expect([await statusOf({}), await statusOf(OF_SECOND)]).toEqual([401, 200]);
    replace(keyset, keysetText([FIRST]));
    await becomes(200, {});
    expect([await statusOf(OF_SECOND), await statusOf(byThird)]).toEqual([401, 401]);
    expect((await readiness()).status).toBe(200);
  }));

  test('a new secret under the same id ends the tokens of the old one', inWorld(async ({ keyset, statusOf, becomes }) => {
    replace(keyset, keysetText([{ ...FIRST, secret: SECOND.secret }]));
    await becomes(401, {});
    expect(await statusOf({ secret: SECOND.secret })).toBe(200);
  }));

  test('is swapped under load without one wrong refusal', inWorld(async ({ keyset, statusOf, becomes }) => {
    const load = { isDone: false };
    const statuses: number[] = [];
    const done = Promise.all(Array.from({ length: 4 }, async () => {
      while (!load.isDone) statuses.push(await statusOf({}));
    }));
    replace(keyset, keysetText([FIRST]));
    await becomes(401, OF_SECOND);
    load.isDone = true;
    await done;
    expect(statuses.length).toBeGreaterThan(20);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  }));

  for (const [what, spoil] of [
    ['garbage', (path: string) => replace(path, 'not json')],
    ['empty', (path: string) => replace(path, '')],
    ['cut short', (path: string) => replace(path, keysetText([FIRST, SECOND]).slice(0, -5))],
    ['one of another form', (path: string) => replace(path, JSON.stringify({ keys: [{ id: SECOND.id, secret: SECOND.secret.toString('base64') }] }))],
    ['one with an id twice', (path: string) => replace(path, keysetText([SECOND, SECOND]))],
    ['one with a short secret', (path: string) => replace(path, keysetText([{ ...SECOND, secret: Buffer.alloc(8) }]))],
    ['readable by all', (path: string) => chmodSync(path, 0o644)],
    ['another that the group may read', (path: string) => replace(path, keysetText([SECOND]), 0o640)],
    ['gone', (path: string) => rmSync(path)],
  ] as const) {
    test(`that became ${what}: the last good one goes on, and readiness names auth_ready`, inWorld(async ({ service, keyset, statusOf, isReady, readiness }) => {
      spoil(keyset);
      await isReady(false);
      expect(await readiness()).toMatchObject({ status: 503, body: notReady });
      expect([await statusOf({}), await statusOf(OF_SECOND)]).toEqual([200, 200]);
      // Alive all the same, and it says what is wrong.
      const health = await fetch(`${service.metricsUrl}/healthz`);
      expect(health.status).toBe(200);
      expect(await health.text()).toContain('auth_ready');
    }));
  }

  test('that was spoilt and then put right is ready again', inWorld(async ({ keyset, isReady, becomes }) => {
    chmodSync(keyset, 0o644);
    await isReady(false);
    chmodSync(keyset, 0o600);
    await isReady(true);
    replace(keyset, 'x');
    await isReady(false);
    replace(keyset, keysetText([SECOND]));
    await isReady(true);
    await becomes(401, {});
  }));
});

describe.concurrent('serve refuses to start, in one clear line that names the file,', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'ron-kms-start-'));
  afterAll(() => { rmSync(scratch, { recursive: true, force: true }); });
  const file = (name: string, text: string, mode: number): string => {
    const path = join(scratch, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };
  const good = (): string => file('good.json', keysetText([FIRST]), 0o600);

  test.each<[string, () => readonly string[]]>([
    ['a revocation list that is not there', () => ['--auth-keyset-path', good(), '--auth-revocations-path', join(scratch, 'missing.json')]],
    ['a revocation list that is garbage', () => ['--auth-keyset-path', good(), '--auth-revocations-path', file('bad-list.json', '[]', 0o600)]],
    ['a key set that is not there', () => ['--auth-keyset-path', join(scratch, 'missing.json')]],
    ['a key set that others may read', () => ['--auth-keyset-path', file('open.json', keysetText([FIRST]), 0o644)]],
    ['a key set that is garbage', () => ['--auth-keyset-path', file('garbage.json', `{"keys":"${ROOT_SECRET.toString('base64')}"}`, 0o600)]],
  ])('on %s', async (_name, flags) => {
    const given = flags();
    const { exitCode, stdout, stderr } = await refusedStart(given, scratch);
    expect(exitCode).toBeGreaterThan(0);
    expect(stdout).toBe('');
    const said = stderr.trim().split('\n').filter((line) => !line.startsWith('ron-kms help'));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(given.at(-1));
    expect(stderr).not.toMatch(/\bat .+:\d+:\d+/);
    expect(stderr).not.toContain(ROOT_SECRET.toString('base64'));
  });
});
