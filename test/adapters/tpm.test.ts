import type { SoftTpm } from '../harness/swtpm.ts';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { TpmFault } from '../../src/adapters/tpm/faults.ts';
import { readerOf } from '../../src/adapters/tpm/marshal.ts';
import { makeAttestationKey, quote } from '../../src/adapters/tpm/quote.ts';
import { sealToTpm, unsealFromTpm } from '../../src/adapters/tpm/sealed-data.ts';
import { createTpm } from '../../src/adapters/tpm/tpm.ts';
import { Secret } from '../../src/core/secret.ts';
import { startSoftTpm, SWTPM, SWTPM_MISSING } from '../harness/swtpm.ts';

if (SWTPM === undefined) console.warn(SWTPM_MISSING);
const SECRET = createHash('sha256').update('a root key').digest();
const PIN = Buffer.from('otter-lantern');
const kindOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'ok', (fault: unknown) => (fault instanceof TpmFault ? fault.kind : `not a fault of a TPM: ${String(fault)}`));

function flipped(text: string): string {
  const bytes = Buffer.from(text, 'base64');
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return bytes.toString('base64');
}

/** The wire between service and TPM, in the hands of somebody else. */
async function interpose(device: string, change: (bytes: Buffer, way: 'there' | 'back') => Buffer) {
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-bus-'));
  const path = join(root, 'bus.sock');
  const seen: Buffer[] = [];
  const server = createServer((near) => {
    const far = connect(device);
    const pass = (way: 'there' | 'back') => (bytes: Buffer): void => {
      seen.push(bytes);
      (way === 'there' ? far : near).write(change(bytes, way));
    };
    near.on('data', pass('there')).on('close', () => far.destroy()).on('error', () => far.destroy());
    far.on('data', pass('back')).on('close', () => near.destroy()).on('error', () => near.destroy());
  }).listen(path);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    rmSync(root, { recursive: true, force: true });
  });
  return { tpm: createTpm({ device: path, deadlineMs: 500 }), seen: () => Buffer.concat(seen) };
}

describe.skipIf(SWTPM === undefined)('a TPM', { timeout: 30_000 }, () => {
  let soft: SoftTpm;
  beforeAll(async () => { soft = await startSoftTpm(); });
  // What a broken connection left in its slots is gone with the next boot.
  beforeEach(() => soft.reboot());
  afterAll(() => soft.drop());
  const own = () => createTpm({ device: soft.device });

  test('gives back what it sealed, over and over, with a PIN and without, and keeps no slot', async () => {
    for (const pin of [undefined, PIN]) {
      const sealed = await sealToTpm(own(), SECRET, { pcrs: [7, 0], pin });
      // More often than it has slots.
      for (let i = 0; i < 10; i++) expect(await unsealFromTpm(own(), sealed, pin)).toEqual(SECRET);
    }
    expect(soft.tool('tpm2_getcap', 'handles-transient').trim()).toBe('');
    expect(soft.tool('tpm2_getcap', 'handles-loaded-session').trim()).toBe('');
  });

  test('gives nothing back in another state of the machine, and does again in the one of before', async () => {
    const sealed = await sealToTpm(own(), SECRET, { pcrs: [7], pin: undefined });
    soft.extendPcr(7);
    await expect(unsealFromTpm(own(), sealed, undefined)).rejects.toMatchObject({ kind: 'pcrs', message: expect.stringContaining('Boot the state of before') });
    await soft.reboot();
    expect(await unsealFromTpm(own(), sealed, undefined)).toEqual(SECRET);
  });

  test('another TPM, or this one once it was cleared, opens nothing', async () => {
    const other = await startSoftTpm();
    onTestFinished(() => other.drop());
    const sealed = await sealToTpm(createTpm({ device: other.device }), SECRET, { pcrs: [], pin: undefined });
    expect(await kindOf(unsealFromTpm(own(), sealed, undefined))).toBe('other');
    other.tool('tpm2_clear');
    expect(await kindOf(unsealFromTpm(createTpm({ device: other.device }), sealed, undefined))).toBe('other');
  });

  test('what lies on disk cannot be changed: each part holds the others', async () => {
    const sealed = await sealToTpm(own(), SECRET, { pcrs: [7], pin: PIN });
    for (const changed of [
      { ...sealed, public_b64: flipped(sealed.public_b64) }, { ...sealed, private_b64: flipped(sealed.private_b64) }, { ...sealed, parent_b64: flipped(sealed.parent_b64) },
      { ...sealed, pcrs: [0] }, { ...sealed, pcrs: [] }, { ...sealed, pin: false },
    ]) expect(await kindOf(unsealFromTpm(own(), changed, PIN))).not.toBe('ok');
    expect(await unsealFromTpm(own(), sealed, PIN)).toEqual(SECRET);
  });

  test('nothing secret crosses the bus in the clear', async () => {
    const { tpm, seen } = await interpose(soft.device, (bytes) => bytes);
    const sealed = await sealToTpm(tpm, SECRET, { pcrs: [7], pin: PIN });
    expect(await unsealFromTpm(tpm, sealed, PIN)).toEqual(SECRET);
    const { key } = await makeAttestationKey(tpm, SECRET);
    await quote(tpm, key, { authValue: SECRET, carries: Buffer.alloc(32), pcrs: [7] });
    expect(seen().length).toBeGreaterThan(2000);
    for (const secret of [SECRET, PIN]) expect(seen().includes(secret)).toBe(false);
  });

  test('an answer that was changed on the bus is not taken', async () => {
    const sealed = await sealToTpm(own(), SECRET, { pcrs: [], pin: undefined });
    // The last answer of an unsealing that is longer than the secret is the secret's; each of its parameter bytes, one after the other.
    for (const at of [14, 16, 20, 40, 47, 60, 90]) {
      const { tpm } = await interpose(soft.device, (bytes, way) => {
        if (way === 'there' || bytes.length !== 10 + 4 + 34 + 69 || bytes.readUInt32BE(6) !== 0) return bytes;
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 1;
        return changed;
      });
      expect(await kindOf(unsealFromTpm(tpm, sealed, undefined)), `byte ${at}`).not.toBe('ok');
    }
  });

  test('answers that are no answers are faults of their own, whatever they say', async () => {
    const sealed = await sealToTpm(own(), SECRET, { pcrs: [], pin: undefined });
    const answers = [Buffer.alloc(0), Buffer.from('8001', 'hex'), Buffer.from('80010000000a00000000', 'hex'), Buffer.from('80020000000e00000000ffffffff', 'hex'), Buffer.from('8001ffffffff00000000', 'hex'), Buffer.from('80010000000c000000000000', 'hex')];
    for (const answer of answers) {
      const { tpm } = await interpose(soft.device, (bytes, way) => (way === 'there' ? bytes : answer));
      expect(await kindOf(unsealFromTpm(tpm, sealed, undefined)), answer.toString('hex')).toMatch(/^(answer|gone)$/);
    }
    expect(() => readerOf(Buffer.from('0005ab', 'hex')).sized()).toThrow(TpmFault);
  });

  test('one that is not there, or hangs, is given up in time', async () => {
    expect(await kindOf(createTpm({ device: '/nowhere/tpm' }).use(async (tpm) => tpm.storageKey()))).toBe('gone');
    soft.freeze();
    const hanging = createTpm({ device: soft.device, deadlineMs: 300 });
    expect(await kindOf(hanging.use(async (tpm) => tpm.storageKey()))).toBe('gone');
    soft.thaw();
    expect(await kindOf(hanging.use(async (tpm) => tpm.storageKey()))).toBe('ok');
  });

  test('the owner\'s password is asked for where there is one, and is not sent', async () => {
    const owned = await startSoftTpm();
    onTestFinished(() => owned.drop());
    owned.tool('tpm2_changeauth', '-c', 'owner', 'the owners word');
    expect(await kindOf(sealToTpm(createTpm({ device: owned.device }), SECRET, { pcrs: [], pin: undefined }))).toBe('pin');
    const { seen } = await interpose(owned.device, (bytes) => bytes);
    const tpm = createTpm({ device: owned.device, ownerAuth: new Secret(Buffer.from('the owners word')) });
    expect(await unsealFromTpm(tpm, await sealToTpm(tpm, SECRET, { pcrs: [], pin: undefined }), undefined)).toEqual(SECRET);
    expect(seen().includes(Buffer.from('the owners word'))).toBe(false);
  });

  test('its quotes are good for tpm2_checkquote', async () => {
    const root = mkdtempSync(join(tmpdir(), 'ron-kms-quote-'));
    onTestFinished(() => rmSync(root, { recursive: true, force: true }));
    const { key, publicBytes } = await makeAttestationKey(own(), SECRET);
    const carries = createHash('sha256').update('this statement').digest();
    const { quoted, signature } = await quote(own(), key, { authValue: SECRET, carries, pcrs: [0, 7] });
    const at = (name: string, bytes: Buffer): string => {
      writeFileSync(join(root, name), bytes);
      return join(root, name);
    };
    const spki = Buffer.concat([Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'), publicBytes]);
    const pem = `-----BEGIN PUBLIC KEY-----\n${spki.toString('base64')}\n-----END PUBLIC KEY-----\n`;
    const tpmtSignature = Buffer.concat([Buffer.from('0018000b0020', 'hex'), signature.subarray(0, 32), Buffer.from('0020', 'hex'), signature.subarray(32)]);
    soft.tool('tpm2_checkquote', '-u', at('key.pem', Buffer.from(pem)), '-m', at('quoted', quoted), '-s', at('signature', tpmtSignature), '-q', carries.toString('hex'), '-g', 'sha256');
    expect(() => soft.tool('tpm2_checkquote', '-u', join(root, 'key.pem'), '-m', join(root, 'quoted'), '-s', join(root, 'signature'), '-q', '00'.repeat(32), '-g', 'sha256')).toThrow(/nonce|qualif|Error/i);
  });

  test('after too many wrong PINs it is locked, says so, and takes no right one', async () => {
    const sealed = await sealToTpm(own(), SECRET, { pcrs: [], pin: PIN });
    const kinds = new Set<string>();
    for (let i = 0; i < 40; i++) kinds.add(await kindOf(unsealFromTpm(own(), sealed, Buffer.from('wrong'))));
    expect(kinds).toContain('locked');
    expect(await kindOf(unsealFromTpm(own(), sealed, PIN))).toBe('locked');
    soft.tool('tpm2_dictionarylockout', '--clear-lockout');
    expect(await unsealFromTpm(own(), sealed, PIN)).toEqual(SECRET);
  });
});
