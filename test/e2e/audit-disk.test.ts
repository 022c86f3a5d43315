import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { FileInstance } from '../harness/file-service.ts';
import type { Serving } from '../harness/service.ts';
import { checkReceipt } from '../../client/src/index.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { counterOf, DIGEST, endInstances, initInstance, OPERATOR, readinessOf, receiptOf, untilReady } from '../harness/file-service.ts';
import { fill } from '../harness/full-disk.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-disk-'));
const mounted: string[] = [];
afterEach(async () => {
  await endInstances();
  unmountAll();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A small file system of its own. */
function mountSmall(path: string): boolean {
  mkdirSync(path);
  const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', path], { stdio: 'ignore' }).status === 0;
  if (isMounted) mounted.push(path);
  return isMounted;
}

function unmountAll(): void {
  for (const path of mounted.splice(0)) spawnSync('umount', [path]);
}

const canMount = mountSmall(join(root, 'probe'));
unmountAll();
if (!canMount) console.warn('SKIPPED: a full disk; mounting a small tmpfs needs root (CAP_SYS_ADMIN)');
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('SKIPPED: permissions lost while it runs; starting the service as another user needs root');

async function instanceIn(name: string, auditDir: string): Promise<FileInstance> {
  mkdirSync(join(root, name));
  return initInstance(join(root, name), { auditDir });
}

interface Work {
  readonly kid: string;
  readonly sigs: unknown;
}

async function begin(service: Serving): Promise<Work> {
  const { kid } = await createKey(service) as { kid: string };
  const { body: { sigs } } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
  return { kid, sigs };
}

async function expectNoEntries(service: Serving, { kid, sigs }: Work): Promise<void> {
  const rest = await eventually('nothing is signed any more', 10_000, async () => {
    const { status, body } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
    return status !== 200 && { status, body };
  });
  expect([rest.status, rest.body['error']?.code, Object.keys(rest.body)]).toEqual([503, 'AuditUnavailable', ['error']]);
  const before = (await call(service, 'GET', '/keys', undefined, OPERATOR)).body;
  for (const [path, body] of [['/keys', { tenant: 'core', purpose: 'a' }], [`/keys/${encodeURIComponent(kid)}/disable`, {}]] as const) {
    const answer = await call(service, 'POST', path, body);
    expect([answer.status, answer.body['error']?.code]).toEqual([503, 'AuditUnavailable']);
  }
  expect((await call(service, 'GET', '/keys', undefined, OPERATOR)).body).toEqual(before);
  const verified = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs });
  expect([verified.status, verified.body['ok']]).toEqual([200, true]);
  const { status, missing } = await readinessOf(service);
  expect([status, missing]).toEqual([503, expect.arrayContaining(['audit_ready: entries cannot be written'])]);
  expect((await call(service, 'GET', '/audit/records', undefined, OPERATOR)).status).toBe(200);
  // It is trouble, and no alarm: nothing is at odds.
  expect(await counterOf(service, 'kms_audit_integrity_failed_total')).toBe(0);
}

async function expectAsBefore(service: Serving, { kid, sigs }: Work, { auditDir, vkeys }: FileInstance): Promise<void> {
  await untilReady(service, 20_000);
  const { status, body } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
  expect(status).toBe(200);
  expect(checkReceipt(await receiptOf(service, body['audit'].index), vkeys)).toMatchObject({ ok: true, fields: { op_id: body['audit'].op_id } });
  expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs })).body['ok']).toBe(true);
  expect(await service.end('SIGTERM')).toBe(0);
  expect(await checkWholeLog({ directory: auditDir, vkeys, jobs: 0 })).toMatchObject({ ok: true, faults: [], openIntents: 0 });
}

describe.skipIf(!canMount).each(['disk', 'os'])('a full disk, durability %s', (durability) => {
  test('nothing is signed without its entry, verify goes on; with room again it recovers by itself', async () => {
    const volume = join(root, `volume-${durability}`);
    mountSmall(volume);
    const instance = await instanceIn(`full-${durability}`, volume);
    const service = await instance.start({ flags: ['--audit-durability', durability] });
    const work = await begin(service);
    for (let round = 0; round < 2; round++) {
      fill(join(volume, 'filler'));
      await expectNoEntries(service, work);
      rmSync(join(volume, 'filler'));
      await untilReady(service, 20_000);
    }
    await expectAsBefore(service, work, instance);
  });

  test('killed while it is full, it starts again when there is room', async () => {
    const volume = join(root, `volume-killed-${durability}`);
    mountSmall(volume);
    const instance = await instanceIn(`full-killed-${durability}`, volume);
    const service = await instance.start({ flags: ['--audit-durability', durability] });
    fill(join(volume, 'filler'));
    await eventually('it is not ready', 10_000, async () => {
      await createKey(service).catch(() => undefined);
      return (await readinessOf(service)).status === 503;
    });
    await service.end('SIGKILL');
    expect(await instance.startRefused()).toMatch(/ENOSPC|no space left|cannot be written/);
    rmSync(join(volume, 'filler'));
    const next = await instance.start();
    await expectAsBefore(next, await begin(next), instance);
  });
});

describe.skipIf(!isRoot)('permissions', () => {
  const NOBODY = 65_534;
  /** An instance that another user owns. */
  async function ownedByNobody(name: string): Promise<FileInstance> {
    const instance = await instanceIn(name, join(root, `${name}-audit`));
    chmodSync(root, 0o755);
    for (const path of [instance.auditDir, join(root, name)]) {
      for (const entry of ['', ...readdirSync(path, { recursive: true, encoding: 'utf8' })]) chownSync(join(path, entry), NOBODY, NOBODY);
    }
    return instance;
  }

  test('lost while it runs: it says that checkpoints are missing, loses nothing, and recovers by itself', async () => {
    const instance = await ownedByNobody('lost');
    const service = await instance.start({ uid: NOBODY });
    const work = await begin(service);
    await untilReady(service);
    const directories = ['', 'tile', 'tile/0', 'tile/0/000.p', 'tile/entries', 'tile/entries/000.p', 'journal'].map((name) => join(instance.auditDir, name));
    const permit = (mode: number): void => { for (const path of directories) chmodSync(path, mode); };
    permit(0o500);
    const { body: { audit } } = await call(service, 'POST', '/sign', { kid: work.kid, payload_b3: DIGEST });
    await eventually('it is not ready', 10_000, async () => (await readinessOf(service)).conditions['checkpoint_recent'] === false);
    expect((await call(service, 'POST', '/verify', { kid: work.kid, payload_b3: DIGEST, sigs: work.sigs })).body['ok']).toBe(true);
    permit(0o700);
    await untilReady(service, 20_000);
    expect(checkReceipt(await receiptOf(service, audit.index), instance.vkeys)).toMatchObject({ ok: true, fields: { op_id: audit.op_id } });
    await expectAsBefore(service, work, instance);
  });

  test('never there: it does not start, and names the directory', async () => {
    const instance = await ownedByNobody('never');
    chmodSync(instance.auditDir, 0o500);
    expect(await instance.startRefused({ uid: NOBODY })).toContain(instance.auditDir);
  });
});
