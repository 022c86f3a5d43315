import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KnownSecret } from '../harness/instance-secrets.ts';
import type { Sighting } from '../harness/process-memory.ts';
import type { Serving } from '../harness/service.ts';
import { deriveMacaroonKey } from '../../src/core/macaroon/chain.ts';
import { disguisesOf, findAny } from '../harness/disguises.ts';
import { DIGEST, endInstances, initInstance, OPERATOR, untilReady } from '../harness/file-service.ts';
import { secretsOf } from '../harness/instance-secrets.ts';
import { createFinder } from '../harness/needles.ts';
import { eventually } from '../harness/poll.ts';
import { searchMemory } from '../harness/process-memory.ts';
import { call, createKey, ROOT_SECRET } from '../harness/service.ts';

const canDebug = process.platform === 'linux' && process.getuid?.() === 0;
if (!canDebug) console.warn('SKIPPED: what of its secrets a service has in memory; reading that of another process needs Linux and root (CAP_SYS_PTRACE)');

const WORDS = 'otter lantern quartz meadow';
const SIGNING = ['ed25519', 'ml-dsa', 'ed25519+ml-dsa', 'mldsa65-ed25519-sha512'];
const WRAPPING = ['x25519', 'ml-kem', 'x25519+ml-kem', 'aes-256-gcm', 'chacha20-poly1305'];
const root = mkdtempSync(join(tmpdir(), 'ron-kms-memory-'));
const directories = { auditDir: join(root, 'audit'), sealedDir: join(root, 'sealed'), words: WORDS };
/** Nothing secret, and planted where it has to be found: in the heap, in a file, in the environment. */
const label = randomBytes(20).toString('hex');
const variable = randomBytes(20).toString('hex');

const CANARIES: ReadonlySet<string> = new Set(['label', 'variable', 'passphrase']);

/** Raw, and as every text that it could have become. */
const needlesOf = (secrets: readonly KnownSecret[]) => secrets.flatMap(({ name, bytes }) => [
  { name, bytes }, ...disguisesOf(bytes).filter((text) => text !== bytes.toString('latin1')).map((text) => ({ name: `${name}, as text`, bytes: Buffer.from(text, 'latin1') })),
]);

const placeOf = ({ mapping: { isLocked, name } }: Sighting): string => (isLocked ? 'locked' : name === '[heap]' ? 'openssl' : name === '' ? 'anonymous' : name);

/** Each sighting of what may not be where it is. */
function misplaced(seen: readonly Sighting[], secrets: readonly KnownSecret[]): readonly string[] {
  const placeByName = new Map(secrets.map(({ name, place }) => [name, place]));
  return seen.filter((one) => placeByName.get(one.name) !== placeOf(one)).map((one) => `${one.name}: ${placeOf(one)}`);
}

/** As bytes or as text. */
function sightingsOf(secrets: readonly KnownSecret[], seen: readonly Sighting[]): readonly string[] {
  return seen.filter(({ name }) => secrets.some((one) => name === one.name || name === `${one.name}, as text`)).map((one) => `${one.name}: ${placeOf(one)}`);
}

async function useAll(service: Serving, kids: readonly string[]): Promise<void> {
  for (const kid of kids.slice(0, SIGNING.length)) expect((await call(service, 'POST', '/sign', { kid, payload_b3: DIGEST })).status).toBe(200);
  for (const kid of kids.slice(SIGNING.length)) {
    const { body: { wrapped_b64: wrapped } } = await call(service, 'POST', '/wrap', { kid, size: 32 });
    expect((await call(service, 'POST', '/unwrap', { wrapped_b64: wrapped })).status).toBe(200);
  }
}

/** Every file of the instance, whole. */
function filesBelow(path: string): readonly { readonly path: string; readonly bytes: Buffer }[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name)).filter((file) => statSync(file).isFile()).map((file) => ({ path: file, bytes: readFileSync(file) }));
}

describe.runIf(canDebug)('a service on the file backend, under a passphrase', { timeout: 120_000 }, () => {
  let service: Serving;
  let before: readonly KnownSecret[];
  /** Of `before` what is no more. */
  let old: readonly KnownSecret[];
  let secrets: readonly KnownSecret[];
  let erased: readonly KnownSecret[];
  const looks: Record<'used' | 'moved' | 'collected', readonly Sighting[]> = { used: [], moved: [], collected: [] };
  let snapshot = '';

  const look = (known: readonly KnownSecret[]): readonly Sighting[] => {
    const canaries = [{ name: 'label', bytes: Buffer.from(label) }, { name: 'variable', bytes: Buffer.from(variable) }, { name: 'passphrase', bytes: Buffer.from(WORDS) }];
    const { searchedBytes, sightings } = searchMemory(service.pid, createFinder([...needlesOf(known), ...canaries]));
    expect(searchedBytes).toBeGreaterThan(50 * 1024 * 1024);
    return sightings;
  };

  beforeAll(async () => {
    const instance = await initInstance(root, { always: ['--pq-verify-mode', 'or', '--keys-destroy-min-after', '1ms'] });
    // Lent by systemd: from a variable it would stay in the environment.
    mkdirSync(join(root, 'credentials'));
    writeFileSync(join(root, 'credentials/ron-kms.passphrase'), `${WORDS}\n`, { mode: 0o600 });
    writeFileSync(join(root, 'kms.toml'), readFileSync(join(root, 'kms.toml'), 'utf8').replace(/^passphrase_env.*$/m, ''));
    service = await instance.start({ env: { KMS_TEST_WORDS: '', KMS_CANARY: variable, CREDENTIALS_DIRECTORY: join(root, 'credentials'), NODE_OPTIONS: '--heapsnapshot-signal=SIGUSR2' } });
    rmSync(join(root, 'credentials'), { recursive: true });

    const kids: string[] = [];
    for (const alg of [...SIGNING, ...WRAPPING]) kids.push((await createKey(service, { alg, purpose: 'memory', labels: { label } }))['kid']);
    const { kid: doomed } = await createKey(service, { alg: 'mldsa65-ed25519-sha512', purpose: 'doomed' });
    await useAll(service, kids);
    await call(service, 'POST', '/sign', { kid: doomed, payload_b3: DIGEST });
    before = (await secretsOf(directories)).map(({ name, bytes, place }) => ({ name: `before the move ${name}`, bytes, place }));
    looks.used = look(before);

    expect(await call(service, 'POST', `/keys/${encodeURIComponent(doomed)}/destroy`, { after: '1ms' })).toMatchObject({ status: 200 });
    await eventually('it is erased', 5000, async () => (await call(service, 'GET', `/keys/${encodeURIComponent(doomed)}`)).body['state'] === 'destroyed');
    erased = before.filter(({ name }) => name.includes('seed of core/doomed/'));
    await call(service, 'POST', '/admin/rekey', {}, OPERATOR);
    await eventually('all is moved', 20_000, async () => (await call(service, 'GET', '/admin/rekey', undefined, OPERATOR)).body['state'] === 'done');
    await useAll(service, kids);
    secrets = await secretsOf(directories);
    old = before.filter(({ bytes }) => !secrets.some((one) => one.bytes.equals(bytes)));
    const all = [...secrets, ...old];
    looks.moved = look(all);

    process.kill(service.pid, 'SIGUSR2');
    const written = await eventually('a heap snapshot is begun', 30_000, () => readdirSync(root).find((name) => name.endsWith('.heapsnapshot')));
    // The thread that answers is the one that writes it.
    await untilReady(service);
    const { strings } = JSON.parse(readFileSync(join(root, written), 'utf8')) as { strings: readonly string[] };
    snapshot = strings.join('\n');
    rmSync(join(root, written));
    looks.collected = look(all);
  }, 120_000);
  afterAll(async () => {
    await endInstances();
    rmSync(root, { recursive: true, force: true });
  });

  test('is looked at with eyes that see: what is planted is found, and so is each secret where it has to be', () => {
    for (const seen of Object.values(looks)) {
      expect(seen.filter(({ name, mapping }) => name === 'label' && !mapping.isLocked)).not.toEqual([]);
      expect(seen.filter(({ name, mapping }) => name === 'variable' && mapping.name === '[stack]')).not.toEqual([]);
    }
    expect(snapshot).toContain(label);
    // A version's own key is gone once it was used; that of the MACs beside the log is the first root key's for ever (docs/formats/keys.md).
    expect(secrets.length).toBeGreaterThan(2 * (SIGNING.length + WRAPPING.length));
    const found = new Set(looks.collected.map(({ name }) => name));
    const expected = secrets.filter(({ name, place }) => place !== 'nowhere' && !/^the key for (ron-kms::core::|.*::audit::state$)/.test(name));
    expect(expected.filter(({ name }) => !found.has(name)).map(({ name }) => name)).toEqual([]);
  });

  test('has root key, derived keys, Ed25519, X25519 and AEAD keys in locked memory alone; those of ML-DSA and ML-KEM as OpenSSL\'s objects, and nothing as text', () => {
    for (const seen of Object.values(looks)) expect(misplaced(seen.filter(({ name }) => !CANARIES.has(name)), [...secrets, ...before])).toEqual([]);
  });

  test('has the old root key and what it gave nowhere once all is moved, and an erased key nowhere once it is collected', () => {
    const gone = old.filter(({ name }) => /the root key|the key for/.test(name) && !name.endsWith('::audit::state'));
    expect(gone.length).toBeGreaterThan(SIGNING.length + WRAPPING.length);
    expect(sightingsOf(gone, looks.used)).not.toEqual([]);
    expect(sightingsOf(gone, looks.moved)).toEqual([]);
    expect(erased).toHaveLength(2);
    expect(sightingsOf(erased, looks.used)).not.toEqual([]);
    expect(sightingsOf(erased, looks.collected)).toEqual([]);
  });

  test('has the passphrase nowhere, and no secret in a heap snapshot', () => {
    expect(Object.values(looks).flat().filter(({ name }) => name === 'passphrase')).toEqual([]);
    expect(findAny(snapshot, [...[...secrets, ...old].map(({ bytes }) => bytes), deriveMacaroonKey(ROOT_SECRET)])).toEqual([]);
    expect(snapshot).not.toContain(WORDS);
  });

  test('has no secret in its files, its log, its arguments, its environment, and writes no core', () => {
    const files = [...filesBelow(root), { path: 'log', bytes: Buffer.from(service.log()) }, ...['cmdline', 'environ'].map((name) => ({ path: name, bytes: readFileSync(`/proc/${service.pid}/${name}`) }))];
    const finder = createFinder([...needlesOf([...secrets, ...old]), { name: 'the passphrase', bytes: Buffer.from(WORDS) }]);
    expect(files.flatMap(({ path, bytes }) => finder.search(bytes).map(({ name }) => `${path}: ${name}`))).toEqual([]);
    const canaries = createFinder([{ name: 'label', bytes: Buffer.from(label) }, { name: 'variable', bytes: Buffer.from(variable) }]);
    const planted = files.filter(({ bytes }) => canaries.search(bytes).length > 0).map(({ path }) => path.replace(/.*\//, ''));
    expect(planted).toContain('environ');
    expect(planted.some((name) => name.startsWith('keys.db'))).toBe(true);
    expect(readFileSync(`/proc/${service.pid}/limits`, 'utf8')).toMatch(/^Max core file size +0 +0 /m);
  });
});
