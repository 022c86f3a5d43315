import type { TokenDevice } from '../../src/adapters/custody-pkcs11/device.ts';
import type { KeySpec } from '../../src/core/algorithm/table.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import type { Custody } from '../../src/ports/custody.ts';
import type { SoftToken } from '../harness/softhsm.ts';
import { ed25519 } from '@noble/curves/ed25519.js';
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createPkcs11Custody } from '../../src/adapters/custody-pkcs11/custody.ts';
import { openTokenDevice } from '../../src/adapters/custody-pkcs11/device.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
import { BackendGone } from '../../src/ports/custody.ts';
import { makeFaultyModule } from '../harness/faulty-module.ts';
import { eventually } from '../harness/poll.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';
import { custodyContract } from './custody.ts';

if (SOFTHSM_MODULE === undefined) console.warn(SOFTHSM_MISSING);
const memory = createLockedMemory();
const cache = createPublicKeyCache(8);
const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };
const MESSAGE = Buffer.from('message');
const NOTHING = Buffer.alloc(0);
const GENERATION = 7;

const settingsOf = ({ modulePath }: SoftToken) => ({ modulePath, slotLabel: LABEL, pin: PIN, sessions: 4 });
const envOf = ({ env }: SoftToken) => ({ ...process.env, ...env });
const custodyOver = (token: TokenDevice): Custody => createPkcs11Custody({ token, cacheKeysMax: 8, primitives, memory });

async function versionOf(custody: Custody, kid: string, spec: KeySpec): Promise<VersionRecord> {
  const { seal, ...made } = await custody.generate(kid, spec);
  const blob = seal?.(GENERATION);
  return { version: 1, kid, kidHash: '', state: 'enabled', createdAtMs: 0, ...made, ...(blob && { custodyBlob: blob, sealedGeneration: GENERATION }) };
}

function schemesOf(spec: KeySpec) {
  return spec.kind === 'signature' ? spec.schemes : [];
}

const HYBRID = specOf('ed25519+ml-dsa', 'ML-DSA-65');
const kidOf = (n: number, alg = 'ed25519+ml-dsa'): string => `core/audit/${alg}/01890000-0000-7000-8000-${String(n).padStart(12, '0')}#v1`;

describe.skipIf(SOFTHSM_MODULE === undefined)('a PKCS #11 token', () => {
  let soft: SoftToken;
  let token: TokenDevice;
  let custody: Custody;
  beforeAll(async () => {
    soft = makeSoftToken();
    token = await openTokenDevice(settingsOf(soft), envOf(soft));
    await token.haveOwnKeys(true);
    custody = custodyOver(token);
  });
  afterAll(async () => {
    await token.close();
    soft.drop();
  });

  custodyContract('pkcs11', async () => ({
    custody: {
      ...custody,
      async generate(kid, spec) {
        const { seal, ...made } = await custody.generate(kid, spec);
        return { ...made, ...(seal && { custodyBlob: seal(GENERATION), sealedGeneration: GENERATION }) };
      },
    },
    publicKeys: createPublicKeys(primitives),
  }));

  test('says how far a key is inside', async () => {
    const classes = await Promise.all(([['ed25519'], ['x25519'], ['aes-256-gcm'], ['ed25519+ml-dsa', 'ML-DSA-65'], ['ml-dsa', 'ML-DSA-44'], ['ml-kem', 'ML-KEM-768'], ['chacha20-poly1305']] as const)
      .map(async ([alg, set], i) => [alg, (await custody.generate(kidOf(100 + i, alg), specOf(alg, set))).attestationClass]));
    expect(Object.fromEntries(classes)).toEqual({ 'ed25519': 'pkcs11', 'x25519': 'pkcs11', 'aes-256-gcm': 'pkcs11', 'ed25519+ml-dsa': 'pkcs11-wrapped', 'ml-dsa': 'pkcs11-wrapped', 'ml-kem': 'pkcs11-wrapped', 'chacha20-poly1305': 'pkcs11-wrapped' });
  });

  test('makes signatures that an independent library takes', async () => {
    const version = await versionOf(custody, kidOf(1, 'ed25519'), specOf('ed25519', undefined));
    const [signature] = await custody.sign(version, schemesOf(specOf('ed25519', undefined)), MESSAGE, NOTHING);
    expect(ed25519.verify(signature as Buffer, MESSAGE, version.publicParts[0]?.bytes as Buffer, { zip215: false })).toBe(true);
  });

  test('gives no private part out, by any tool that has the PIN', async () => {
    const version = await versionOf(custody, kidOf(2, 'ed25519'), specOf('ed25519', undefined));
    const listed = execFileSync('pkcs11-tool', ['--module', soft.modulePath, '--token-label', LABEL, '--login', '--pin', PIN, '--list-objects', '--type', 'privkey'], { env: { ...process.env, ...soft.env }, encoding: 'utf8' });
    const object = listed.split('Private Key Object').find((text) => text.includes(version.kid));
    expect(object).toMatch(/sensitive/);
    expect(object).toMatch(/never extractable/);
  });

  test('opens a sealed part in no other place, and not when any one bit of it differs', async () => {
    const version = await versionOf(custody, kidOf(3), HYBRID);
    const other = await versionOf(custody, kidOf(4), HYBRID);
    const fresh = custodyOver(token);
    const refused = (record: VersionRecord) => expect(fresh.sign(record, schemesOf(HYBRID), MESSAGE, NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await refused({ ...version, sealedGeneration: GENERATION + 1 });
    await refused({ ...version, custodyBlob: other.custodyBlob as Buffer });
    await refused({ ...other, custodyBlob: version.custodyBlob as Buffer });
    const blob = version.custodyBlob as Buffer;
    for (let bit = 0; bit < blob.length * 8; bit += 5) {
      const flipped = Buffer.from(blob);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await refused({ ...version, custodyBlob: flipped });
    }
    expect(await fresh.sign(version, schemesOf(HYBRID), MESSAGE, NOTHING)).toHaveLength(2);
  });

  test('makes a key where one of that name was left over, and only the new one signs', async () => {
    const kid = kidOf(6, 'ed25519');
    const spec = specOf('ed25519', undefined);
    const [old, fresh] = [await versionOf(custody, kid, spec), await versionOf(custody, kid, spec)];
    const [signature] = await custody.sign(fresh, schemesOf(spec), MESSAGE, NOTHING);
    expect(ed25519.verify(signature as Buffer, MESSAGE, fresh.publicParts[0]?.bytes as Buffer)).toBe(true);
    expect(ed25519.verify(signature as Buffer, MESSAGE, old.publicParts[0]?.bytes as Buffer)).toBe(false);
  });

  test('is one session for one call, however many come at once', async () => {
    const version = await versionOf(custody, kidOf(5, 'ed25519'), specOf('ed25519', undefined));
    const publicKey = version.publicParts[0]?.bytes as Buffer;
    const messages = Array.from({ length: 500 }, (_, i) => Buffer.from(`message ${i}`));
    const signatures = await Promise.all(messages.map(async (message) => (await custody.sign(version, schemesOf(specOf('ed25519', undefined)), message, NOTHING))[0] as Buffer));
    for (const [i, signature] of signatures.entries()) if (i % 50 === 0) expect(ed25519.verify(signature, messages[i] as Buffer, publicKey)).toBe(true);
    expect(new Set(signatures.map((signature) => signature.toString('hex'))).size).toBe(500);
  });
});

/** Of this test's process. */
function processes(): readonly number[] {
  return execFileSync('pgrep', ['-P', String(process.pid), '-f', 'token-process'], { encoding: 'utf8' }).trim().split('\n').map(Number);
}

async function open(): Promise<{ readonly soft: SoftToken; readonly token: TokenDevice; readonly custody: Custody }> {
  const soft = makeSoftToken();
  const token = await openTokenDevice(settingsOf(soft), envOf(soft));
  await token.haveOwnKeys(true);
  onTestFinished(async () => {
    await token.close();
    soft.drop();
  });
  return { soft, token, custody: custodyOver(token) };
}

describe.skipIf(SOFTHSM_MODULE === undefined)('a token in trouble', () => {
  const ED25519 = specOf('ed25519', undefined);

  test('a module that crashes takes only its own process: calls say that it is gone, and the next probe has it again', { timeout: 30_000 }, async () => {
    const { token, custody } = await open();
    const version = await versionOf(custody, kidOf(1, 'ed25519'), ED25519);
    const pids = processes();
    const under = Array.from({ length: 200 }, () => custody.sign(version, schemesOf(ED25519), MESSAGE, NOTHING).then(() => 'ok', (fault: unknown) => fault instanceof BackendGone));
    // As a segmentation fault in it would.
    process.kill(pids.at(-1) as number, 'SIGSEGV');
    const outcomes = await Promise.all(under);
    expect(outcomes).toContain(true);
    expect(outcomes.filter((outcome) => outcome !== 'ok' && outcome !== true)).toEqual([]);
    await expect(custody.sign(version, schemesOf(ED25519), MESSAGE, NOTHING)).rejects.toBeInstanceOf(BackendGone);
    await token.probe();
    expect(await custody.sign(version, schemesOf(ED25519), MESSAGE, NOTHING)).toHaveLength(1);
  });

  test('probes that come while it is started again start it once', { timeout: 30_000 }, async () => {
    const { token } = await open();
    const before = processes();
    process.kill(before.at(-1) as number, 'SIGKILL');
    await eventually('it is gone', 5000, () => token.sign('none', MESSAGE).then(() => false, (fault: unknown) => fault instanceof BackendGone && fault.message.includes('is not there')));
    await Promise.all([token.probe(), token.probe(), token.probe()]);
    expect(processes()).toHaveLength(before.length);
  });

  test('a module that hangs is ended by the probe that it does not answer', { timeout: 30_000 }, async () => {
    const { token, custody } = await open();
    const version = await versionOf(custody, kidOf(1, 'ed25519'), ED25519);
    const pid = Number(execFileSync('pgrep', ['-n', '-P', String(process.pid), '-f', 'token-process'], { encoding: 'utf8' }));
    process.kill(pid, 'SIGSTOP');
    const hanging = custody.sign(version, schemesOf(ED25519), MESSAGE, NOTHING);
    hanging.catch(() => undefined);
    await expect(token.probe()).rejects.toBeInstanceOf(BackendGone);
    await expect(hanging).rejects.toBeInstanceOf(BackendGone);
    await token.probe();
    expect(await custody.sign(version, schemesOf(ED25519), MESSAGE, NOTHING)).toHaveLength(1);
  });

  test('a module that gives less than a signature: the call is refused, and nothing of it leaves', { timeout: 30_000 }, async () => {
    const soft = makeSoftToken();
    const faulty = makeFaultyModule(soft.modulePath);
    const token = await openTokenDevice({ ...settingsOf(soft), modulePath: faulty.modulePath }, { ...envOf(soft), ...faulty.env });
    onTestFinished(async () => {
      await token.close();
      faulty.drop();
      soft.drop();
    });
    await token.haveOwnKeys(true);
    const custody = custodyOver(token);
    const version = await versionOf(custody, kidOf(1, 'ed25519'), ED25519);
    faulty.be('short-signature');
    await expect(custody.sign(version, schemesOf(ED25519), MESSAGE, NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    faulty.be('well');
    expect(await custody.sign(version, schemesOf(ED25519), MESSAGE, NOTHING)).toHaveLength(1);
  });

  test('a token that was pulled out is gone, and back with the keys it had', { timeout: 30_000 }, async () => {
    const { soft, token, custody } = await open();
    const [inside, wrapped] = [await versionOf(custody, kidOf(1, 'ed25519'), ED25519), await versionOf(custody, kidOf(2), HYBRID)];
    soft.remove();
    await eventually('a probe says so', 10_000, async () => token.probe().then(() => false, () => true));
    await expect(custody.sign(inside, schemesOf(ED25519), MESSAGE, NOTHING)).rejects.toBeInstanceOf(BackendGone);
    await expect(token.probe()).rejects.toBeInstanceOf(BackendGone);
    soft.putBack();
    await eventually('it is there again', 10_000, async () => token.probe().then(() => true, () => false));
    expect(await custody.sign(inside, schemesOf(ED25519), MESSAGE, NOTHING)).toHaveLength(1);
    expect(await custodyOver(token).sign(wrapped, schemesOf(HYBRID), MESSAGE, NOTHING)).toHaveLength(2);
  });

  test('another token of the same label is not taken for it, and nothing is made on it', { timeout: 30_000 }, async () => {
    const { soft, token } = await open();
    soft.replaceByEmpty();
    await eventually('it is refused', 15_000, async () => token.probe().then(() => false, (fault: unknown) => fault instanceof Error && fault.message.includes('has lost the key')));
    await expect(token.probe()).rejects.toThrow(/it is another token, or it was set up anew/);
  });

  test('a wrong PIN, a wrong label and a wrong module are said', async () => {
    const soft = makeSoftToken();
    onTestFinished(() => soft.drop());
    await expect(openTokenDevice({ ...settingsOf(soft), pin: 'wrong' }, envOf(soft))).rejects.toThrow(/CKR_PIN_INCORRECT/);
    await expect(openTokenDevice({ ...settingsOf(soft), slotLabel: 'other' }, envOf(soft))).rejects.toThrow('no slot has a token labelled other');
    await expect(openTokenDevice({ ...settingsOf(soft), modulePath: '/nowhere.so' }, envOf(soft))).rejects.toBeInstanceOf(BackendGone);
  });
});
