import type { FileInstance } from '../harness/file-service.ts';
import type { Serving } from '../harness/service.ts';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { openLoggedEntries } from '../../src/adapters/audit-check/logged-entries.ts';
import { ronKms } from '../cli/ron-kms.ts';
import { endInstances, initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { eventually } from '../harness/poll.ts';
import { call as callAs, everything, tokenOf } from '../harness/service.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-backup-'));
afterAll(async () => {
  await endInstances();
  rmSync(root, { recursive: true, force: true });
});

const ENV = { KMS_TEST_WORDS: 'otter lantern quartz meadow' };
const SECRET = Buffer.alloc(32, 7).toString('base64');
const PAYLOAD = Buffer.from('what is signed').toString('base64');

const call = (service: Serving, method: string, path: string, body?: object) => callAs(service, method, path, body, OPERATOR);

/** An instance with a directory for backups and a key for them. */
async function instanceWithBackups(more: readonly string[] = []): Promise<{ readonly instance: FileInstance; readonly home: string; readonly backups: string }> {
  const home = mkdtempSync(join(root, 'i-'));
  const backups = join(home, 'backups');
  mkdirSync(backups);
  writeFileSync(join(home, 'backup.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  const instance = await initInstance(home, { always: ['--keys-destroy-min-after', '1s', '--backup-dir', backups, '--backup-keyfile-path', join(home, 'backup.key'), ...more] });
  return { instance, home, backups };
}

async function make(service: Serving, purpose: string, alg?: string): Promise<string> {
  const { status, body } = await call(service, 'POST', '/keys', { tenant: 'acme', purpose, ...(alg !== undefined && { alg }) });
  expect(status).toBe(201);
  return String(body['kid']).replace(/#v\d+$/, '');
}

const on = (kid: string): string => `/keys/${encodeURIComponent(kid)}`;

/** Through the command line, as an operator does it; gives the path of the file. */
async function backUp(service: Serving, backups: string): Promise<string> {
  const { code, out, err } = await ronKms(['backup', '--json', '--url', service.apiUrl], { cwd: root, env: { RON_KMS_TOKEN: OPERATOR } });
  expect(err).toBe('');
  expect(code).toBe(0);
  const { file, state } = JSON.parse(out) as { file: string; state: string };
  expect(state).toBe('done');
  return join(backups, file);
}

function restore(home: string, file: string, ...more: readonly string[]) {
  return ronKms(['restore', file, '--config', join(home, 'kms.toml'), '--backup-keyfile-path', join(home, 'backup.key'), '--keys-destroy-min-after', '1s', ...more], { cwd: home, env: ENV });
}

async function stateOf(service: Serving, kid: string): Promise<string> {
  const { status, body } = await call(service, 'GET', on(kid));
  return status === 200 ? String(body['state']) : `status ${status}`;
}

/** Under another key set of the log than `init` printed, where there is a new one. */
async function verifyLog(home: string, keys?: unknown) {
  const pinned = join(home, 'pinned.json');
  if (keys !== undefined) writeFileSync(pinned, JSON.stringify(keys));
  return ronKms(['audit', 'verify', '--config', join(home, 'kms.toml'), '--keys', pinned, '--json'], { cwd: home, env: ENV });
}

describe('a backup that nothing is newer than', () => {
  test('brings lost keys back, and the log goes on; AEAD versions only unwrap, and the next wrap makes a version', async () => {
    const { instance, home, backups } = await instanceWithBackups();
    let service = await instance.start();
    const [signing, wrapping, kem] = [await make(service, 'signing'), await make(service, 'wrapping', 'aes-256-gcm'), await make(service, 'kem', 'x25519+ml-kem')];
    await call(service, 'POST', `${on(signing)}/rotate`, {});
    const { body: signed } = await call(service, 'POST', '/sign', { kid: signing, payload_b64: PAYLOAD });
    const wraps = await Promise.all([wrapping, kem].map(async (kid) => (await call(service, 'POST', '/wrap', { kid, plaintext_key_b64: SECRET })).body['wrapped_b64']));
    const file = await backUp(service, backups);
    await service.end('SIGTERM');

    rmSync(join(home, 'sealed'), { recursive: true });
    const dry = await restore(home, file, '--dry-run');
    expect([dry.code, dry.out]).toEqual([0, expect.stringContaining('nothing is newer than it')]);
    expect(existsSync(join(home, 'sealed', 'keys.db'))).toBe(false);
    const done = await restore(home, file);
    expect([done.code, done.err]).toEqual([0, '']);
    expect(done.out).toContain('1 AEAD versions only unwrap');

    service = await instance.start();
    await untilReady(service);
    const { status, body: verified } = await call(service, 'POST', '/verify', { kid: signed['kid'], payload_b64: PAYLOAD, sigs: signed['sigs'] });
    expect([status, verified['ok']]).toEqual([200, true]);
    expect((await call(service, 'POST', '/sign', { kid: signing, payload_b64: PAYLOAD })).body['kid']).toBe(`${signing}#v2`);
    for (const wrapped of wraps) expect((await call(service, 'POST', '/unwrap', { wrapped_b64: wrapped })).body['plaintext_key_b64']).toBe(SECRET);
    expect((await call(service, 'POST', '/wrap', { kid: `${wrapping}#v1`, plaintext_key_b64: SECRET })).body).toMatchObject({ error: { code: 'KeyState' } });
    const many = await Promise.all(Array.from({ length: 8 }, () => call(service, 'POST', '/wrap', { kid: wrapping, plaintext_key_b64: SECRET })));
    expect(new Set(many.map(({ body }) => body['kid']))).toEqual(new Set([`${wrapping}#v2`]));
    expect((await call(service, 'POST', '/rewrap', { wrapped_b64: wraps[0] })).body['kid']).toBe(`${wrapping}#v2`);
    expect((await call(service, 'POST', '/wrap', { kid: kem, plaintext_key_b64: SECRET })).body['kid']).toBe(`${kem}#v1`);
    await service.end('SIGTERM');
    const verdict = await ronKms(['audit', 'verify', '--config', join(home, 'kms.toml'), ...instance.vkeys.flatMap((key) => ['--vkey', formatVkey(key)])], { cwd: home, env: ENV });
    expect(verdict.code).toBe(0);
  }, 60_000);
});

describe('a backup that the log knows to be old', () => {
  test('is refused and changes nothing; accepted, it begins a log that names the old one, and what was ended stays so', async () => {
    const { instance, home, backups } = await instanceWithBackups();
    let service = await instance.start();
    const names = ['stays', 'disabled', 'scheduled', 'destroyed', 'reopened', 'one-version'] as const;
    const keys: Record<string, string> = {};
    for (const name of names) keys[name] = await make(service, name);
    const of = (name: (typeof names)[number]): string => keys[name] ?? '';
    await call(service, 'POST', `${on(of('one-version'))}/rotate`, {});
    const file = await backUp(service, backups);
    await call(service, 'POST', `${on(of('disabled'))}/disable`, {});
    await call(service, 'POST', `${on(`${of('one-version')}#v1`)}/disable`, {});
    await call(service, 'POST', `${on(of('scheduled'))}/destroy`, { after: '30d' });
    await call(service, 'POST', `${on(of('destroyed'))}/destroy`, { after: '1s' });
    await call(service, 'POST', `${on(of('reopened'))}/disable`, {});
    await call(service, 'POST', `${on(of('reopened'))}/enable`, {});
    const late = await make(service, 'late');
    await eventually('it is destroyed', 15_000, async () => (await stateOf(service, of('destroyed'))) === 'destroyed');
    await service.end('SIGTERM');

    const refused = await restore(home, file);
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/generation 7, and the log knows \d+: \d+ changes would be lost.*--accept-rollback/);
    service = await instance.start();
    await untilReady(service);
    expect(await stateOf(service, late)).toBe('enabled');
    await service.end('SIGTERM');

    const { code, out, err } = await restore(home, file, '--accept-rollback', '--json');
    expect([code, err]).toEqual([0, '']);
    const said = JSON.parse(out) as { origin: string; replaces: string; lost: string[]; ended_again: { kid: string; state: string }[]; keys: unknown };
    expect(said.replaces).toBe(instance.origin);
    expect(said.lost).toEqual([`${late}#v1`]);
    expect(said.ended_again).toContainEqual({ kid: `${of('destroyed')}#v1`, state: 'destroyed' });

    service = await instance.start();
    await untilReady(service);
    const states = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await stateOf(service, of(name))] as const)));
    expect(states).toEqual({ stays: 'enabled', disabled: 'disabled', scheduled: 'scheduled', destroyed: 'destroyed', reopened: 'enabled', 'one-version': 'enabled' });
    const { body: rotated } = await call(service, 'GET', on(of('one-version')));
    expect(rotated['versions'].map(({ state }: { state: string }) => state)).toEqual(['disabled', 'enabled']);
    expect(await stateOf(service, late)).toBe('status 404');
    expect((await call(service, 'POST', '/sign', { kid: of('stays'), payload_b64: PAYLOAD })).status).toBe(200);
    await service.end('SIGTERM');

    const verdict = await verifyLog(home, said);
    expect([verdict.code, verdict.err]).toEqual([0, '']);
    const log = openLoggedEntries(join(home, 'audit'));
    const [first] = Array.from(log?.read(0, 1) ?? [], ({ bytes }) => JSON.parse(bytes.toString('utf8')) as unknown);
    const kept = readdirSync(join(home, 'audit')).find((name) => name.startsWith('replaced-'));
    const before = openLoggedEntries(join(home, 'audit', kept ?? ''));
    expect(first).toMatchObject({ op: 'log-keys', generation: 7, replaces: { origin: instance.origin, size: before?.covered } });
    expect((await ronKms(['doctor', '--config', join(home, 'kms.toml')], { cwd: home, env: ENV })).out).toMatch(/keys .*versions/);
  }, 90_000);

  test('on an empty disk, too, asks to accept that the time since is lost', async () => {
    const { instance, home, backups } = await instanceWithBackups();
    let service = await instance.start();
    const kid = await make(service, 'signing');
    const file = await backUp(service, backups);
    await service.end('SIGTERM');
    rmSync(join(home, 'sealed'), { recursive: true });
    rmSync(join(home, 'audit'), { recursive: true });
    expect((await restore(home, file)).err).toContain('there is no log in audit.dir');
    const { code, err } = await restore(home, file, '--accept-rollback');
    expect([code, err]).toEqual([0, '']);
    service = await instance.start();
    await untilReady(service);
    expect((await call(service, 'POST', '/sign', { kid, payload_b64: PAYLOAD })).status).toBe(200);
  }, 60_000);
});

describe('a backup', () => {
  test('does not open with another key, or when any part of it was changed, cut or moved', async () => {
    const { instance, home, backups } = await instanceWithBackups();
    const service = await instance.start();
    for (let i = 0; i < 4; i++) await make(service, `p${i}`);
    const file = await backUp(service, backups);
    await service.end('SIGTERM');
    const whole = readFileSync(file);
    const bad = join(home, 'bad');
    const refusedAs = async (change: (bytes: Buffer) => Buffer, says: RegExp): Promise<void> => {
      writeFileSync(bad, change(Buffer.from(whole)));
      const { code, err } = await restore(home, bad, '--dry-run');
      expect(code).toBe(1);
      expect(err).toMatch(says);
    };
    const line = whole.indexOf(0x0a) + 1;
    for (const at of [3, line - 5, line + 2, line + 26, line + 40, Math.floor(whole.length / 2), whole.length - 1]) {
      await refusedAs((bytes) => {
        bytes[at] = (bytes[at] ?? 0) ^ 1;
        return bytes;
      }, /cannot be restored/);
    }
    for (const length of [0, line - 1, line + 10, whole.length - 1]) await refusedAs((bytes) => bytes.subarray(0, length), /cannot be restored/);
    writeFileSync(join(home, 'backup.key'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
    await refusedAs((bytes) => bytes, /does not open: this is the wrong key/);
    truncateSync(bad, 0);
    expect(readdirSync(join(home, 'sealed'))).not.toContain('.restoring');
  }, 60_000);

  test('is refused where another instance lies, and where a service runs', async () => {
    const [one, other] = [await instanceWithBackups(), await instanceWithBackups()];
    const service = await one.instance.start();
    await make(service, 'signing');
    const file = await backUp(service, one.backups);
    expect((await restore(one.home, file)).err).toMatch(/process \d+ writes here/);
    cpSync(join(one.home, 'backup.key'), join(other.home, 'backup.key'));
    const { code, err } = await restore(other.home, file, '--accept-rollback');
    expect([code, err]).toEqual([1, expect.stringContaining('audit.dir holds the log of')]);
  }, 60_000);

  test('made while keys are made is of one moment of them, and every key in it works', async () => {
    const { instance, home, backups } = await instanceWithBackups();
    let service = await instance.start();
    const made: string[] = [];
    const over = new AbortController();
    const load = Array.from({ length: 8 }, async () => {
      while (!over.signal.aborted) made.push(await make(service, 'load'));
    });
    await eventually('some are made', 10_000, async () => made.length > 50);
    const file = await backUp(service, backups);
    over.abort();
    await Promise.all(load);
    await service.end('SIGTERM');
    expect((await restore(home, file, '--accept-rollback')).code).toBe(0);
    service = await instance.start();
    await untilReady(service);
    const found = await Promise.all(made.map(async (kid) => (await call(service, 'POST', '/sign', { kid, payload_b64: PAYLOAD })).status));
    expect(new Set(found)).toEqual(new Set([200, 404]));
    expect(found.filter((status) => status === 200).length).toBeGreaterThan(50);
  }, 60_000);

  test('lies under a passphrase where one is named, and is refused with another', async () => {
    const home = mkdtempSync(join(root, 'p-'));
    mkdirSync(join(home, 'backups'));
    const instance = await initInstance(home, { always: ['--backup-dir', join(home, 'backups'), '--backup-passphrase-env', 'KMS_BACKUP_WORDS'] });
    expect(await instance.startRefused()).toContain('the variable that backup.passphrase_env names is not set');
    const service = await instance.start({ env: { KMS_BACKUP_WORDS: 'walnut ferry copper thistle' } });
    const file = await backUp(service, join(home, 'backups'));
    await service.end('SIGTERM');
    const again = (words: string) => ronKms(['restore', file, '--config', join(home, 'kms.toml'), '--backup-passphrase-env', 'KMS_BACKUP_WORDS', '--dry-run'], { cwd: home, env: { ...ENV, KMS_BACKUP_WORDS: words } });
    expect((await again('walnut ferry copper thistles')).err).toMatch(/does not open: this is the wrong key/);
    expect((await again('walnut ferry copper thistle')).code).toBe(0);
    expect((await ronKms(['restore', file, '--config', join(home, 'kms.toml')], { cwd: home, env: ENV })).err).toContain('--backup-passphrase-env');
  }, 60_000);

  test('that does not fit on its medium fails with the reason, leaves nothing there, and the service goes on', async () => {
    const { instance, home } = await instanceWithBackups();
    const small = join(home, 'small');
    mkdirSync(small);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', small], { stdio: 'ignore' }).status !== 0) {
      console.warn('SKIPPED: a full medium of backups; mounting a small tmpfs needs root (CAP_SYS_ADMIN)');
      return;
    }
    try {
      const service = await instance.start({ flags: ['--backup-dir', small] });
      await make(service, 'signing');
      const { code, err } = await ronKms(['backup', '--url', service.apiUrl], { cwd: root, env: { RON_KMS_TOKEN: OPERATOR } });
      expect([code, err]).toEqual([1, expect.stringMatching(/no backup was made: .*(full|ENOSPC|no space)/)]);
      expect(readdirSync(small)).toEqual([]);
      expect(await make(service, 'another')).toContain('acme/another');
      expect((await call(service, 'GET', '/admin/backup')).body['state']).toBe('failed');
      await service.end('SIGTERM');
    } finally {
      spawnSync('umount', [small]);
    }
  }, 60_000);

  test('is the whole instance, so only a token for all of it may ask for one', async () => {
    const { instance } = await instanceWithBackups();
    const service = await instance.start();
    const ofTenant = tokenOf({ caveats: everything('acme') });
    for (const method of ['POST', 'GET']) {
      const { status, body } = await callAs(service, method, '/admin/backup', method === 'POST' ? {} : undefined, ofTenant);
      expect([status, body['error'].code]).toEqual([403, 'NoCapability']);
    }
  }, 60_000);
});
