import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { FileInstance } from '../harness/file-service.ts';
import type { Serving } from '../harness/service.ts';
import { formatVkey } from '../../client/src/log/vkey.ts';
import { checkWholeLog } from '../../src/adapters/audit-check/check-log.ts';
import { counterOf, DIGEST, endInstances, initInstance, OPERATOR, readinessOf, receiptOf, signBatch, untilReady } from '../harness/file-service.ts';
import { cutJournal, dropFrame, editBundle, filesOf, flipBit, flipBitInJournal, swapInJournal, takeFrom, withoutTenth, withPairSwapped } from '../harness/harm.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { makeWitnessKey, startWitness } from '../harness/witness.ts';

/** The faults of the log alone: no store that would be at odds with it too. */
const KEYS_IN_RAM = { always: ['--service-backend', 'inmem'] };

/** No key in RAM outlives its process. */
const NOBODY = 'core/audit/ed25519/01890000-0000-7000-8000-000000000000';

const root = mkdtempSync(join(tmpdir(), 'ron-kms-faults-'));
const at = (name: string): string => join(root, name);
let own: FileInstance;
let other: FileInstance;
afterEach(endInstances);
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What a service is for, a few hundred entries of it; the last one is covered by a checkpoint when this returns. */
async function live(service: Serving): Promise<void> {
  const { kid } = await createKey(service) as { kid: string };
  const { kid: wrapping } = await createKey(service, { alg: 'x25519+ml-kem' }) as { kid: string };
  for (let batch = 0; batch < 2; batch++) expect((await signBatch(service, kid)).status).toBe(200);
  const { body: { sigs } } = await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST });
  expect((await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs })).body['ok']).toBe(true);
  const { wrapped_b64 } = (await call(service, 'POST', '/wrap', { kid: wrapping, size: 32 })).body;
  expect((await call(service, 'POST', '/unwrap', { wrapped_b64 })).status).toBe(200);
  expect((await call(service, 'POST', `/keys/${encodeURIComponent(kid.replace('#v1', ''))}/rotate`, {})).status).toBe(200);
  const { body: { audit } } = await call(service, 'POST', '/sign', { kid: kid.replace('#v1', ''), payload_b3: DIGEST });
  await receiptOf(service, audit.index);
}

/**
 * Three states of one log: `older`, `stopped` after more was done, `killed` in the place of that stop.
 * And one of another instance.
 */
beforeAll(async () => {
  for (const name of ['own', 'other']) mkdirSync(at(name));
  [own, other] = await Promise.all([initInstance(at('own'), KEYS_IN_RAM), initInstance(at('other'), KEYS_IN_RAM)]);
  const [first, foreign] = await Promise.all([own.start(), other.start()]);
  await live(foreign);
  await live(first);
  expect(await Promise.all([first, foreign].map((service) => service.end('SIGTERM')))).toEqual([0, 0]);
  cpSync(own.auditDir, at('older'), { recursive: true });
  cpSync(own.auditDir, at('killed'), { recursive: true });
  const [more, killed] = await Promise.all([own.start(), own.start({ auditDir: at('killed') })]);
  await Promise.all([more, killed].map(live));
  await killed.end('SIGKILL');
  await more.end('SIGTERM');
  cpSync(own.auditDir, at('stopped'), { recursive: true });
});

const checked = (directory: string) => checkWholeLog({ directory, vkeys: own.vkeys, jobs: 0 });
let copies = 0;
/** A copy to harm. */
function copyOf(state: string): string {
  const copy = at(`copy-${++copies}`);
  cpSync(at(state), copy, { recursive: true });
  return copy;
}

/** DESIGN §8: it stays up, refuses what makes or changes anything, says what is wrong, and goes on to read. */
async function expectHeld(service: Serving, says: RegExp): Promise<void> {
  const { missing, conditions } = await eventually('it is not ready', 15_000, async () => {
    const readiness = await readinessOf(service);
    return readiness.status === 503 && readiness;
  });
  expect(missing.join('\n')).toMatch(new RegExp(`audit_ready: .*${says.source}`));
  expect(conditions).toMatchObject({ audit_ready: false, backend_ready: true, listener_bound: true });
  const { status, body } = await call(service, 'POST', '/verify', { kid: NOBODY, payload_b3: DIGEST, sigs: [{ alg: 'ed25519', signature_b64: Buffer.alloc(64).toString('base64') }] });
  expect(['verify', status, body['error']?.code]).toEqual(['verify', 404, 'NotFound']);
  const writes: readonly (readonly [string, object])[] = [['/keys', { tenant: 'core', purpose: 'a' }], ['/sign', { kid: NOBODY, payload_b3: DIGEST }], ['/admin/log-keys', {}], ['/admin/accept-clock', {}]];
  for (const [path, body] of writes) {
    const { status, body: answer } = await call(service, 'POST', path, body, OPERATOR);
    expect([path, status, answer['error']?.code]).toEqual([path, 503, 'AuditUnavailable']);
  }
  for (const path of ['/keys', '/token', '/audit/records', '/audit/keys']) expect([path, (await call(service, 'GET', path, undefined, OPERATOR)).status]).toEqual([path, 200]);
  expect(await counterOf(service, 'kms_audit_integrity_failed_total')).toBe(1);
  const alarms = await eventually('the alarm is in its log', 5000, () => {
    const lines = service.log().split('\n').filter((line) => line.includes('"audit_integrity_failed"'));
    return lines.length > 0 && lines;
  });
  expect(alarms).toHaveLength(1);
  expect(JSON.parse(alarms[0] ?? '{}')).toMatchObject({ level: 'error', what: expect.stringMatching(says) });
}

describe('a log that nobody has harmed', () => {
  test.each(['older', 'stopped', 'killed'])('as it was left %s is whole, and served', async (state) => {
    const copy = copyOf(state);
    expect(await checked(copy)).toMatchObject({ ok: true, faults: [] });
    const service = await own.start({ auditDir: copy });
    await untilReady(service);
    await eventually('all of it is checked', 10_000, () => service.log().includes('"audit_checked"'));
    expect((await createKey(service))['kid']).toBeDefined();
    expect(await service.end('SIGTERM')).toBe(0);
    expect(await checked(copy)).toMatchObject({ ok: true, faults: [] });
  });
});

/** What is done to the files of which state; and what has to be said, where it is known before the service listens. */
type Harm = readonly [what: string, state: 'stopped' | 'killed', harm: (copy: string) => unknown, says: RegExp | ((found: number) => RegExp)];

const atOnce: readonly Harm[] = [
  ['a bit of an entry in the newest bundle is flipped', 'stopped', (copy) => editBundle(lastBundle(copy), withBitFlipped), /entry \d+: it is not the one in the tree/],
  ['a bit of the length of an entry is flipped', 'stopped', (copy) => flipBit(lastBundle(copy), 0), /entry \d+: its bundle is missing or damaged/],
  ['an entry of the newest bundle is dropped', 'stopped', (copy) => editBundle(lastBundle(copy), withoutTenth), /entry \d+: its bundle is missing or damaged/],
  ['two entries of the newest bundle are swapped', 'stopped', (copy) => editBundle(lastBundle(copy), withPairSwapped), /entry \d+: it is not the one in the tree/],
  ['the newest bundle is gone', 'stopped', (copy) => rmSync(lastBundle(copy)), /entry \d+: its bundle is missing or damaged/],
  ['the checkpoint is an older one', 'stopped', (copy) => takeFrom(at('older'), copy, 'checkpoint'), /checkpoint: it covers \d+ entries, but the log was sealed at \d+: it is an older one/],
  ['the checkpoint is gone', 'stopped', (copy) => rmSync(join(copy, 'checkpoint')), /checkpoint: it is missing/],
  ['a bit of the checkpoint is flipped', 'stopped', (copy) => flipBit(join(copy, 'checkpoint'), 0.9), /checkpoint: /],
  ['a bit in the middle of the journal is flipped', 'killed', flipBitInJournal, (index) => new RegExp(`entry ${index}: its frame in the journal is damaged`)],
  ['a write is dropped from the journal', 'killed', dropFrame, (index) => new RegExp(`entry ${index}: the journal goes on with entry \\d+`)],
  ['two entries of the journal are swapped, and its frame made to match', 'killed', swapInJournal, (index) => new RegExp(`entry ${index}: `)],
  ['the journal ends before the checkpoint', 'killed', cutJournal, /entry \d+: it is missing, though the checkpoint covers \d+ entries/],
  ['the checkpoint is another instance\'s', 'stopped', (copy) => takeFrom(other.auditDir, copy, 'checkpoint'), /checkpoint: it is of another log, ron-kms\//],
  ['the tiles are another instance\'s', 'stopped', (copy) => takeFrom(other.auditDir, copy, 'tile'), /(tile|entry)/],
  ['the journal is another instance\'s', 'killed', (copy) => takeFrom(other.auditDir, copy, 'journal'), /entry \d+: /],
  ['all of the log is another instance\'s', 'stopped', (copy) => takeFrom(other.auditDir, copy, 'checkpoint', 'tile', 'journal', 'state'), /checkpoint: it is of another log/],
];

describe('a log that was harmed while nobody served it: the service stays up, says what is wrong, and writes nothing', () => {
  test.each(atOnce)('%s', async (_what, state, harm, says) => {
    const copy = copyOf(state);
    const found = harm(copy);
    const before = filesOf(copy);
    const service = await own.start({ auditDir: copy });
    await expectHeld(service, typeof says === 'function' ? says(Number(found)) : says);
    expect(await service.end('SIGTERM')).toBe(0);
    expect(filesOf(copy)).toEqual(before);
    expect((await checked(copy)).ok).toBe(false);
  });

  test.each<readonly [string, (copy: string) => void, RegExp]>([
    ['a bit of an old entry is flipped', (copy) => editBundle(join(copy, 'tile/entries/000'), withBitFlipped), /entry 10 \(tile\/entries\/000\): /],
    ['an old entry is dropped', (copy) => editBundle(join(copy, 'tile/entries/000'), withoutTenth), /tile\/entries\/000/],
    ['two old entries are swapped', (copy) => editBundle(join(copy, 'tile/entries/001'), withPairSwapped), /entry 257 \(tile\/entries\/001\): /],
    ['an old bundle is gone', (copy) => rmSync(join(copy, 'tile/entries/001')), /tile\/entries\/001/],
    ['a bit of an old hash tile is flipped', (copy) => flipBit(join(copy, 'tile/0/001')), /tile\/0\/001/],
  ])('%s, which the full check finds behind readiness', async (_what, harm, says) => {
    const copy = copyOf('stopped');
    harm(copy);
    const service = await own.start({ auditDir: copy });
    await expectHeld(service, says);
    expect(await service.end('SIGTERM')).toBe(0);
    expect((await checked(copy)).ok).toBe(false);
  });

  test('keys of another instance are refused before anything is served, and so is its whole directory', async () => {
    const mixed = copyOf('stopped');
    takeFrom(other.auditDir, mixed, 'log-keys.json');
    expect(await own.startRefused({ auditDir: mixed })).toContain(`the keys of another log, ${other.origin}`);
    expect(await own.startRefused({ auditDir: other.auditDir })).toMatch(/audit\.dir holds the log of .*, and service\.instance_id is /);
  });

  test.each<readonly [string, (copy: string) => void]>([
    ['an older checkpoint, while the journal has the rest', (copy) => takeFrom(at('older'), copy, 'checkpoint')],
    ['a lost journal, of which the bundles have all that a checkpoint covers', (copy) => rmSync(join(copy, 'journal'), { recursive: true })],
    ['a damaged state, which is made anew from the entries', (copy) => flipBit(join(copy, 'state'))],
  ])('%s costs nothing', async (_what, harm) => {
    const copy = copyOf('killed');
    const { size } = await checked(copy);
    harm(copy);
    const service = await own.start({ auditDir: copy });
    await untilReady(service);
    await receiptOf(service, size - 1);
    expect(await service.end('SIGTERM')).toBe(0);
    expect(await checked(copy)).toMatchObject({ ok: true, faults: [] });
  });
});

describe('a long log with a wrong bit', () => {
  test('is served until the full check has come so far; keys of that time still verify then, degraded', async () => {
    mkdirSync(at('long'));
    const long = await initInstance(at('long'));
    const flags = ['--pq-verify-mode', 'or'];
    const before = await long.start({ flags });
    const { kid: old } = await createKey(before, { alg: 'ed25519' }) as { kid: string };
    for (let batch = 0; batch < 150; batch++) expect((await signBatch(before, old)).status).toBe(200);
    expect(await before.end('SIGTERM')).toBe(0);
    editBundle(join(long.auditDir, 'tile/entries/149'), withBitFlipped);

    // The check is fast: whoever comes too late comes again.
    const { service, kid, sigs } = await eventually('a key was made before the check has come so far', 20_000, async () => {
      const started = await long.start({ flags });
      const { body: key } = await call(started, 'POST', '/keys', { tenant: 'core', purpose: 'audit', alg: 'ed25519' });
      const { status, body } = await call(started, 'POST', '/sign', { kid: key['kid'] ?? NOBODY, payload_b3: DIGEST });
      if (status === 200) return { service: started, kid: key['kid'] as string, sigs: body['sigs'] as unknown };
      await started.end('SIGTERM');
      return undefined;
    });
    await expectHeld(service, /entry 38154 \(tile\/entries\/149\): /);
    const { status, body } = await call(service, 'POST', '/verify', { kid, payload_b3: DIGEST, sigs });
    expect([status, body['ok'], body['details'].degraded]).toEqual([200, true, true]);
    expect((await call(service, 'POST', '/verify', { kid, payload_b3: 'cd'.repeat(32), sigs })).body).toMatchObject({ ok: false, details: { degraded: true } });
    expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).body['error']?.code).toBe('AuditUnavailable');
    expect(await service.end('SIGTERM')).toBe(0);
  });
});

/** A life with an anchor, a copy in the middle of it, and the copy restored. */
async function restoreOlder(instance: FileInstance, flags: readonly string[]): Promise<Serving> {
  const first = await instance.start({ flags });
  await live(first);
  await untilReady(first);
  expect(await first.end('SIGTERM')).toBe(0);
  const copy = `${instance.auditDir}-older`;
  cpSync(instance.auditDir, copy, { recursive: true });
  const second = await instance.start({ flags });
  await live(second);
  expect(await second.end('SIGTERM')).toBe(0);
  const whole = await instance.start({ flags });
  await untilReady(whole);
  expect(await whole.end('SIGTERM')).toBe(0);
  rmSync(instance.auditDir, { recursive: true });
  cpSync(copy, instance.auditDir, { recursive: true });
  expect(await checkWholeLog({ directory: instance.auditDir, vkeys: instance.vkeys, jobs: 0 })).toMatchObject({ ok: true });
  return instance.start({ flags });
}

describe('an older copy of the whole directory, restored', () => {
  test('is found by an anchor file on another medium', async () => {
    for (const name of ['anchored', 'medium']) mkdirSync(at(name));
    const instance = await initInstance(at('anchored'));
    const service = await restoreOlder(instance, ['--audit-anchor', 'file', '--audit-anchor-path', at('medium/anchor')]);
    await expectHeld(service, /the anchor has seen \d+ entries of this log, its newest checkpoint covers \d+: an older copy of the log was restored/);
    expect(await service.end('SIGTERM')).toBe(0);
  });

  test('is found by a witness', async () => {
    mkdirSync(at('witnessed'));
    const instance = await initInstance(at('witnessed'));
    const signer = makeWitnessKey();
    const witness = await startWitness({ signer, logs: new Map([[instance.origin, instance.vkeys]]), recordPath: at('witness.json') });
    const service = await restoreOlder(instance, ['--audit-anchor', 'witness', '--audit-witness-url', witness.url, '--audit-witness-vkey', formatVkey(signer.key)]);
    await expectHeld(service, /the witness has seen \d+ entries of this log, its newest checkpoint covers \d+: an older copy of the log was restored/);
    expect(await service.end('SIGTERM')).toBe(0);
    await witness.stop();
  });
});

function lastBundle(copy: string): string {
  const partial = [...filesOf(copy).keys()].find((name) => /^tile\/entries\/.*\.p\/\d+$/.test(name));
  if (partial === undefined) throw new Error('there is no partial bundle');
  return join(copy, partial);
}

function withBitFlipped(entries: readonly Buffer[]): readonly Buffer[] {
  return entries.map((entry, i) => (i === 10 ? Buffer.concat([entry.subarray(0, 60), Buffer.of(entry.readUInt8(60) ^ 1), entry.subarray(61)]) : entry));
}
