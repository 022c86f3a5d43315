import type { FileInstance } from '../harness/file-service.ts';
import type { Answer, Serving } from '../harness/service.ts';
import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { DIGEST, endInstances, initInstance, OPERATOR } from '../harness/file-service.ts';
import { flipBit } from '../harness/harm.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey, everything, tokenOf } from '../harness/service.ts';

let root: string;
let instance: FileInstance;
let service: Serving;
/** What `init` has written; a test adds to it. */
let first: string;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'ron-kms-reload-'));
  instance = await initInstance(root);
  first = readFileSync(join(root, 'kms.toml'), 'utf8');
  service = await instance.start();
});
afterEach(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

const write = (more: string, above = ''): void => writeFileSync(join(root, 'kms.toml'), `${above}\n${first}\n${more}\n`);
const reload = (token = OPERATOR): Promise<Answer> => call(service, 'POST', '/admin/reload', {}, token);
const operators = async (path: string): Promise<Record<string, any>> => (await (await fetch(`${service.metricsUrl}${path}`)).json()) as Record<string, any>;
const versionNow = async (): Promise<string> => (await operators('/version'))['config_version'];
const entries = async (): Promise<Record<string, any>[]> => (await call(service, 'GET', '/audit/records?op=reload&limit=1000', undefined, OPERATOR)).body['records'].map(({ entry }: { entry: Record<string, any> }) => entry);
const whyNotLoaded = async (): Promise<string | undefined> => (await operators('/readyz'))['missing'].find((line: string) => line.startsWith('config_loaded'));

/** SIGHUP, until the service goes by another configuration. */
async function hangUp(): Promise<void> {
  const before = await versionNow();
  process.kill(service.pid, 'SIGHUP');
  await eventually('the settings are taken', 5000, async () => (await versionNow()) !== before);
}

describe('what is taken', () => {
  test('by a call: it holds at once, the answer names it, and the log says what it changed', async () => {
    const { body: { kid } } = await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }, OPERATOR);
    write('[security]\nsign_rate_limit_rps = 7\n[tenants.core]\nverify_mode = "pq_only"');
    const { status, body } = await reload();
    // The rate is a flag of this process, which is above the file: that is no change.
    expect({ status, version: body['config_version'] }).toEqual({ status: 200, version: await versionNow() });
    const signed = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
    const verified = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs: signed.body['sigs'] }, OPERATOR);
    expect(verified.body).toMatchObject({ ok: true, details: { mode: 'pq_only' } });
    expect(await entries()).toMatchObject([{ op: 'reload', result: 'ok', actor: { client_id: 'tester' }, config: { version: body['config_version'], changes: [{ key: 'tenants.core.verify_mode', from: 'null', to: '"pq_only"' }] } }]);
  });

  test('by SIGHUP: the service is the actor; nothing changed is an entry too, and the same name', async () => {
    write('[pq]\nrollout_percent = 50');
    await hangUp();
    const version = await versionNow();
    expect((await reload()).body['config_version']).toBe(version);
    expect((await entries()).map(({ actor: { via }, config: { changes } }) => [via, changes.length])).toEqual([['service', 1], ['tcp', 0]]);
    expect(await (await fetch(`${service.metricsUrl}/metrics`)).text()).toMatch(/kms_pq_rollout_percent 50/);
  });

  test('a start with the same settings has the same name for them, and the log holds under the whole check', async () => {
    write('[pq]\nverify_mode = "or"');
    const { body: { config_version: version } } = await reload();
    await service.end('SIGTERM');
    service = await instance.start();
    expect(await versionNow()).toBe(version);
    await service.end('SIGTERM');
    expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [] });
  });
});

describe('what is not taken leaves everything as it was, and /readyz says why until a good one', () => {
  test.each<[string, () => void, RegExp]>([
    ['not TOML', () => write('[pq'), /kms\.toml is not TOML/],
    ['half written', () => writeFileSync(join(root, 'kms.toml'), first.slice(0, first.length / 2)), /config_loaded: /],
    ['an unknown setting', () => write('[pq]\nmode = "or"'), /pq\.mode is not a setting/],
    ['a wrong value', () => write('[pq]\nverify_mode = "maybe"'), /pq\.verify_mode must be one of/],
    ['gone', () => unlinkSync(join(root, 'kms.toml')), /kms\.toml cannot be read/],
    ['what cannot change', () => write('', 'max_conns = 5'), /max_conns cannot change while the service runs/],
    ['one setting that can, and one that cannot', () => write('[tenants.core]\nverify_mode = "or"\n[uds]\npath = "/nowhere"'), /uds\.path cannot change/],
  ])('%s', async (_name, spoil, says) => {
    const version = await versionNow();
    spoil();
    const { status, body } = await reload();
    expect({ status, code: body['error'].code, hint: body['error'].hint }).toMatchObject({ status: 400, code: 'BadRequest', hint: expect.stringContaining('/readyz') });
    expect(await whyNotLoaded()).toMatch(says);
    expect(await versionNow()).toBe(version);
    expect(await entries()).toMatchObject([{ result: 'BadRequest' }]);
    // It serves on.
    expect((await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }, OPERATOR)).status).toBe(201);

    writeFileSync(join(root, 'kms.toml'), first);
    expect((await reload()).status).toBe(200);
    expect(await whyNotLoaded()).toBeUndefined();
  });

  test('by somebody who may not: another scope, or a token for one tenant', async () => {
    write('[pq]\nverify_mode = "or"');
    for (const caveats of [everything('core'), everything('*').with(0, 'scope = kms:rotate,kms:sign')]) expect((await reload(tokenOf({ caveats }))).status).toBe(403);
    expect((await call(service, 'POST', '/admin/reload', { pq: {} }, OPERATOR)).status).toBe(400);
    expect((await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit', alg: 'ed25519' }, OPERATOR)).body['error'].code).toBe('PqPolicy');
  });

  test('while the log takes no entries: neither by a call nor by SIGHUP', async () => {
    await createKey(service, {}, OPERATOR);
    await service.end('SIGKILL');
    flipBit(join(instance.auditDir, 'checkpoint'));
    service = await instance.start();
    write('[pq]\nverify_mode = "or"');
    const version = await versionNow();
    expect((await reload()).body['error'].code).toBe('AuditUnavailable');
    process.kill(service.pid, 'SIGHUP');
    await eventually('/readyz says so', 5000, async () => (await whyNotLoaded())?.includes('the log could not take the reload'));
    expect(await versionNow()).toBe(version);
  });
});

test('a hundred reloads under load: every answer is under one of the two, none is lost, and all are in the log', { timeout: 60_000 }, async () => {
  const { kid } = await createKey(service, {}, OPERATOR);
  const { body: { sigs } } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST }, OPERATOR);
  const load = new AbortController();
  const seen = new Map<string, number>();
  const client = async (): Promise<void> => {
    while (!load.signal.aborted) {
      const { status, body } = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR);
      const what = status === 200 && body['ok'] === true ? body['details'].mode : `${status} ${JSON.stringify(body)}`;
      seen.set(what, (seen.get(what) ?? 0) + 1);
    }
  };
  const clients = Array.from({ length: 8 }, client);
  const modes = ['pq_only', 'and'];
  for (let i = 0; i < 100; i++) {
    write(`[tenants.core]\nverify_mode = "${modes[i % 2]}"`);
    expect((await reload()).status).toBe(200);
    const { body } = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs }, OPERATOR);
    expect(body['details'].mode).toBe(modes[i % 2]);
  }
  load.abort();
  await Promise.all(clients);
  expect([...seen.keys()].toSorted()).toEqual(['and', 'pq_only']);
  expect((await entries()).filter(({ result }) => result === 'ok')).toHaveLength(100);
});

test('a storm of SIGHUPs is one reload after the other, and the last one counts', async () => {
  for (let i = 0; i < 50; i++) {
    write(`[pq]\nrollout_percent = ${i}`);
    process.kill(service.pid, 'SIGHUP');
  }
  await eventually('the last settings are in force', 10_000, async () => (await (await fetch(`${service.metricsUrl}/metrics`)).text()).includes('kms_pq_rollout_percent 49'));
  expect((await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'audit' }, OPERATOR)).status).toBe(201);
});
