import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { FileInstance } from '../harness/file-service.ts';
import type { Serving } from '../harness/service.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { parseEnvelope } from '../../src/core/envelope/envelope.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, readinessOf, untilReady } from '../harness/file-service.ts';
import { fill } from '../harness/full-disk.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { tamper } from '../harness/stored-keys.ts';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-durable-'));
const mounted: string[] = [];
afterEach(async () => {
  await endInstances();
  for (const path of mounted.splice(0)) spawnSync('umount', [path]);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function instanceIn(name: string): Promise<FileInstance & { readonly sealedDir: string }> {
  mkdirSync(join(root, name), { recursive: true });
  return { ...await initInstance(join(root, name), { always: ['--pq-verify-mode', 'or'] }), sealedDir: join(root, name, 'sealed') };
}

const at = (kid: string, what = ''): string => `/keys/${encodeURIComponent(kid)}${what}`;
const document = async (service: Serving, kid: string) => (await call(service, 'GET', at(kid))).body;
const openOf = ({ vkeys, auditDir }: FileInstance) => checkWholeLog({ directory: auditDir, vkeys, jobs: 0 });

test.each(['SIGKILL', 'SIGTERM'] as const)('after %s every answered change is there, and a retry of any of them gets its answer again', async (signal) => {
  const instance = await instanceIn(`all-${signal}`);
  let service = await instance.start();
  const bases: string[] = [];
  for (const alg of ['ed25519', 'ml-dsa', 'ed25519+ml-dsa', 'mldsa65-ed25519-sha512', 'x25519', 'ml-kem', 'x25519+ml-kem', 'aes-256-gcm', 'chacha20-poly1305']) {
    bases.push((await createKey(service, { alg, purpose: 'wrap', labels: { alg: alg.replaceAll('+', '.') }, op_id: `create-${alg.replaceAll('+', '_')}` }))['kid'].replace('#v1', ''));
  }
  const [first = '', second = '', hybrid = '', composite = '', , , xwing = '', aes = ''] = bases;
  const changes: readonly (readonly [string, string, object])[] = [
    ['PATCH', at(first), { labels: { env: 'prod', note: 'é "quoted"' }, rotate_after: '90d' }], ['POST', at(hybrid, '/rotate'), {}], ['POST', at(hybrid, '/rotate'), {}],
    ['POST', at(`${hybrid}#v1`, '/disable'), {}], ['POST', at(second, '/disable'), {}], ['POST', at(second, '/enable'), {}],
    ['POST', at(composite, '/destroy'), {}], ['POST', at(`${hybrid}#v2`, '/destroy'), { after: '30d' }], ['POST', at(`${hybrid}#v2`, '/restore'), {}],
  ];
  const answers: unknown[] = [];
  for (const [i, [method, path, body]] of changes.entries()) {
    const { status, body: answer } = await call(service, method, path, { ...body, op_id: `change-${i}` });
    expect([path, status]).toEqual([path, 200]);
    answers.push(answer);
  }
  const { body: { sigs } } = await call(service, 'POST', '/sign', { kid: hybrid, payload_b3: DIGEST });
  const { body: { wrapped_b64: byKem, plaintext_key_b64: one } } = await call(service, 'POST', '/wrap', { kid: xwing, size: 32 });
  const { body: { wrapped_b64: byAead, plaintext_key_b64: two } } = await call(service, 'POST', '/wrap', { kid: aes, size: 32 });
  const before = await Promise.all(bases.map((base) => document(service, base)));
  await service.end(signal);

  service = await instance.start();
  await untilReady(service);
  expect(await Promise.all(bases.map((base) => document(service, base)))).toEqual(before);
  expect((await call(service, 'GET', '/keys', undefined, OPERATOR)).body['keys'].map(({ kid }: { kid: string }) => kid.replace(/#.*/, ''))).toEqual(bases);
  for (const [i, [method, path, body]] of changes.entries()) expect((await call(service, method, path, { ...body, op_id: `change-${i}` })).body).toEqual(answers[i]);
  expect((await call(service, 'PATCH', at(first), { labels: {}, op_id: 'change-0' })).status).toBe(409);
  expect((await call(service, 'POST', '/verify', { kid: hybrid, payload_b3: DIGEST, sigs })).body).toMatchObject({ ok: true });
  expect((await call(service, 'POST', '/unwrap', { wrapped_b64: byKem })).body['plaintext_key_b64']).toBe(one);
  expect((await call(service, 'POST', '/unwrap', { wrapped_b64: byAead })).body['plaintext_key_b64']).toBe(two);
  const { body: again } = await call(service, 'POST', '/sign', { kid: hybrid, payload_b3: DIGEST });
  expect((await call(service, 'POST', '/verify', { kid: hybrid, payload_b3: DIGEST, sigs: again['sigs'] })).body).toMatchObject({ ok: true });
  expect((await call(service, 'POST', '/sign', { kid: `${hybrid}#v1`, payload_b3: DIGEST })).body['error'].code).toBe('KeyState');
  expect(await service.end('SIGTERM')).toBe(0);
  expect(await openOf(instance)).toMatchObject({ ok: true, faults: [], openIntents: 0 });
});

test('a nonce is never given twice: each start skips what the one before had set aside', async () => {
  const instance = await instanceIn('nonces');
  let service = await instance.start();
  const { kid } = await createKey(service, { alg: 'aes-256-gcm' });
  const nonces: bigint[] = [];
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 3; i++) {
      const { body: { wrapped_b64: wrapped } } = await call(service, 'POST', '/wrap', { kid, size: 32 });
      nonces.push(BigInt(`0x${parseEnvelope(Buffer.from(wrapped, 'base64')).enc.toString('hex')}`));
    }
    expect((await call(service, 'POST', '/wrap', { kid, size: 32, nonce_b64: Buffer.alloc(12).toString('base64') })).body['error'].code).toBe('NonceReuse');
    await service.end('SIGKILL');
    service = await instance.start();
  }
  expect(nonces).toEqual([0, 1, 2].flatMap((block) => [1n, 2n, 3n].map((n) => BigInt(block) * 65_536n + n)));
});

describe('an old copy of the keys', () => {
  test('put back beside the log is found, named and not used; verify goes on', async () => {
    const instance = await instanceIn('rolled-back');
    let service = await instance.start();
    const { kid } = await createKey(service, { alg: 'ed25519' });
    const { body: { sigs } } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
    await service.end('SIGTERM');
    cpSync(instance.sealedDir, join(root, 'old-keys'), { recursive: true });
    service = await instance.start();
    await call(service, 'POST', at(kid, '/disable'), {});
    await service.end('SIGTERM');
    rmSync(instance.sealedDir, { recursive: true });
    cpSync(join(root, 'old-keys'), instance.sealedDir, { recursive: true });

    service = await instance.start();
    const { missing } = await readinessOf(service);
    expect(missing.join()).toMatch(/key store is at generation 1, and the last one in the log is 2: an older copy of the store was put back/);
    expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body['error']).toMatchObject({ code: 'StoreUnavailable' });
    expect((await call(service, 'POST', at(kid, '/rotate'), {})).status).toBe(503);
    expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs })).body).toMatchObject({ ok: true, details: { degraded: true } });
    expect(await (await fetch(`${service.metricsUrl}/metrics`)).text()).toMatch(/^kms_audit_integrity_failed_total 1$/m);
  });

  test('with the nonces it had then is found too, though no key had changed', async () => {
    const instance = await instanceIn('old-nonces');
    let service = await instance.start();
    const { kid } = await createKey(service, { alg: 'aes-256-gcm' });
    await service.end('SIGTERM');
    cpSync(instance.sealedDir, join(root, 'old-nonce-keys'), { recursive: true });
    service = await instance.start();
    expect((await call(service, 'POST', '/wrap', { kid, size: 32 })).status).toBe(200);
    await service.end('SIGTERM');
    rmSync(instance.sealedDir, { recursive: true });
    cpSync(join(root, 'old-nonce-keys'), instance.sealedDir, { recursive: true });
    service = await instance.start();
    expect((await call(service, 'POST', '/wrap', { kid, size: 32 })).body['error'].code).toBe('StoreUnavailable');
  });

  test('that is gone altogether is not made anew', async () => {
    const instance = await instanceIn('gone');
    const service = await instance.start();
    await createKey(service, { alg: 'ed25519' });
    await service.end('SIGTERM');
    rmSync(instance.sealedDir, { recursive: true });
    expect(await instance.startRefused()).toMatch(/keys\.db is not there, and the log tells of keys that were in it/);
    expect(readdirSync(join(root, 'gone'))).not.toContain('sealed');
  });
});

test('a record changed while it is down: its key is 503, others verify, nothing is signed, and it is said which', async () => {
  const instance = await instanceIn('edited');
  let service = await instance.start();
  const { kid: good } = await createKey(service, { alg: 'ed25519' });
  const { kid: bad } = await createKey(service, { alg: 'ed25519' });
  const signed = await Promise.all([good, bad].map(async (kid) => (await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body['sigs']));
  await call(service, 'POST', at(bad, '/disable'), {});
  await service.end('SIGTERM');
  tamper(instance.sealedDir, (database) => database.exec("UPDATE records SET content = replace(content, 'disabled', 'enabled')"));
  service = await instance.start();
  expect((await readinessOf(service)).missing.join()).toContain(`backend_ready: the record of ${bad} was changed`);
  expect((await call(service, 'POST', '/verify', { kid: good, payload_b3: DIGEST, sigs: signed[0] })).body).toMatchObject({ ok: true, details: { degraded: true } });
  expect((await call(service, 'POST', '/verify', { kid: bad, payload_b3: DIGEST, sigs: signed[1] })).body['error'].code).toBe('StoreUnavailable');
  for (const kid of [good, bad]) expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body['error'].code).toBe('StoreUnavailable');
});

describe('a disk that takes no more', () => {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) console.warn('SKIPPED: a full disk, and permissions lost; mounting a small tmpfs and serving as another user need root');

  test.runIf(isRoot)('full: changes are refused, signing goes on, and so does all when there is room again', async () => {
    mkdirSync(join(root, 'full/sealed'), { recursive: true });
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', join(root, 'full/sealed')]).status).toBe(0);
    mounted.push(join(root, 'full/sealed'));
    const instance = await instanceIn('full');
    let service = await instance.start();
    const { kid } = await createKey(service);
    const filler = join(instance.sealedDir, 'filler');
    fill(filler);
    const refused = await eventually('no key is made any more', 20_000, async () => {
      const answer = await call(service, 'POST', '/keys', { tenant: 'core', purpose: 'a', alg: 'ml-dsa' });
      return answer.status !== 201 && answer;
    });
    expect([refused.status, refused.body['error'].code]).toEqual([503, 'StoreUnavailable']);
    expect((await call(service, 'POST', at(kid, '/disable'), { op_id: 'later' })).status).toBe(503);
    expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(200);
    unlinkSync(filler);
    await eventually('changes are taken again', 10_000, async () => (await call(service, 'POST', at(kid, '/disable'), { op_id: 'later' })).status === 200);
    await untilReady(service);
    const keys = (await call(service, 'GET', '/keys', undefined, OPERATOR)).body;
    await service.end('SIGKILL');
    service = await instance.start();
    await untilReady(service);
    expect((await call(service, 'GET', '/keys', undefined, OPERATOR)).body).toEqual(keys);
    expect(await service.end('SIGTERM')).toBe(0);
    expect(await openOf(instance)).toMatchObject({ ok: true, faults: [], openIntents: 0 });
  });

  test.runIf(isRoot)('read-only: a start is refused, and says why', async () => {
    mkdirSync(join(root, 'read-only/sealed'), { recursive: true });
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'tmpfs', join(root, 'read-only/sealed')]).status).toBe(0);
    mounted.push(join(root, 'read-only/sealed'));
    const instance = await instanceIn('read-only');
    expect(spawnSync('mount', ['-o', 'remount,ro', join(root, 'read-only/sealed')]).status).toBe(0);
    expect(await instance.startRefused()).toMatch(/EROFS|read-only|readonly/);
  });

  test.runIf(isRoot)('whose files are another\'s: a start is refused, with the path', async () => {
    const instance = await instanceIn('foreign');
    for (const name of readdirSync(instance.auditDir)) chownSync(join(instance.auditDir, name), 12345, 12345);
    for (const path of [root, join(root, 'foreign')]) chmodSync(path, 0o755);
    for (const path of [instance.auditDir, join(root, 'foreign/keyset.json'), join(root, 'foreign/kms.toml')]) chownSync(path, 12345, 12345);
    expect(await instance.startRefused({ uid: 12345 })).toMatch(/sealed.*EACCES|EACCES.*sealed|keys\.db/);
  });
});

test('a second process on the same keys is refused, and told which one has them', async () => {
  const instance = await instanceIn('shared');
  const service = await instance.start();
  cpSync(instance.auditDir, join(root, 'shared-audit'), { recursive: true });
  rmSync(join(root, 'shared-audit/lock'), { force: true });
  expect(await instance.startRefused({ auditDir: join(root, 'shared-audit') })).toContain(`sealed/lock: process ${service.pid} writes here; stop it first`);
});

test('a wrong passphrase is refused with a clear word, and nothing is touched', async () => {
  const instance = await instanceIn('words');
  const before = readFileSync(join(instance.sealedDir, 'keys.db'));
  expect(await instance.startRefused({ env: { KMS_TEST_WORDS: 'otter lantern quartz meadows' } })).toMatch(/wrong passphrase/);
  expect(readFileSync(join(instance.sealedDir, 'keys.db')).equals(before)).toBe(true);
});
