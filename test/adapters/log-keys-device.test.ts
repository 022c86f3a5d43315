import type { KeyObject } from 'node:crypto';
import type { LogDevice, LogDevices } from '../../src/ports/attestor.ts';
import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { makeLogKeys, openLogSigner } from '../../src/adapters/log-keys/open.ts';
import { headAt, linesOf, newLog, OVERLAP_MS, rotate, START_MS, vkeysOf } from '../harness/log-keys.ts';

/** A token in RAM that can be pulled out. */
function tokenInRam() {
  const keys = new Map<string, KeyObject>();
  const here = { isOut: false };
  const keyOf = (label: string): KeyObject => {
    if (here.isOut) throw new Error('the token is out');
    return keys.get(label) ?? expect.unreachable(`the token has no ${label}`);
  };
  const make = (label: string): Buffer => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    keys.set(label, privateKey);
    return publicKey.export({ format: 'raw-public' });
  };
  const signWith = (label: string, message: Buffer): Buffer => sign(null, message, keyOf(label));
  const device: LogDevice = {
    attestor: {
      backend: 'pkcs11',
      makeKey: async (name) => ({ key: `ed25519:${make(`attest ${name}`).toString('base64')}`, held: { label: `attest ${name}` } }),
      dropKey: async ({ held }) => { keys.delete(String(held['label'])); },
      describe: async () => ({ kind: 'pkcs11', token: { label: 'ram', manufacturer: '', model: '', serial: '', firmware: '', slot: '' }, objects: {} }),
      prove: async ({ held }, message) => ({ signature_b64: signWith(String(held['label']), message).toString('base64') }),
    },
    logKeys: {
      make: async (name) => ({ publicBytes: make(`log ${name}`), held: { label: `log ${name}`, shown: { label: 'ram' } } }),
      sign: async ({ label }, message) => signWith(label, message),
      destroy: async ({ label }) => { keys.delete(label); },
    },
  };
  return { device, here, size: () => keys.size };
}

/** A log whose keys a token made, opened where the token is only read. */
async function leftBehind() {
  const token = tokenInRam();
  const { deps } = await newLog();
  await makeLogKeys({ ...deps, nowMs: START_MS, devicesFor: () => ({ device: token.device }) });
  const openAs = (devices: LogDevices) => openLogSigner({ ...deps, devicesFor: () => devices });
  return { token, deps, openAs, signer: await openAs({ former: token.device }) };
}

describe('keys that a token holds, where the token is the backend no more', () => {
  test('are due at once, and both sign until the overlap ends; then the token is empty', async () => {
    const { token, openAs, signer } = await leftBehind();
    expect((await openAs({ device: token.device })).newestMs()).toBe(START_MS);
    expect(signer.newestMs()).toBe(0);
    const said = await rotate(signer, START_MS, 10);
    expect(said.signatures).toHaveLength(2);
    expect(said).not.toHaveProperty('attestation_key');
    expect(signer.newestMs()).toBe(START_MS);
    const both = await signer.sign(headAt(11), START_MS);
    for (const keys of [vkeysOf(signer).slice(0, 2), vkeysOf(signer).slice(2)]) expect(verifyCheckpointNote(both, keys)).not.toHaveProperty('fault');
    expect(token.size()).toBe(2);
    await signer.retire(START_MS + OVERLAP_MS, 11, both);
    expect(token.size()).toBe(0);
    expect((await openAs({})).keys()[2]?.transitionCheckpoint).toBe(both);
  });

  test('leave their line out while the token is, once new ones sign; the note that all signed stays the one that shows the way', async () => {
    const { token, signer } = await leftBehind();
    token.here.isOut = true;
    await expect(signer.sign(headAt(9), START_MS)).rejects.toThrow('the token is out');
    await expect(signer.prepare('scheduled', START_MS, 9)).rejects.toThrow('the token is out');
    token.here.isOut = false;
    await rotate(signer, START_MS, 10);
    const both = await signer.sign(headAt(11), START_MS);
    token.here.isOut = true;
    const without = await signer.sign(headAt(12), START_MS);
    expect(linesOf(without)).toHaveLength(3);
    expect(verifyCheckpointNote(without, vkeysOf(signer).slice(2))).not.toHaveProperty('fault');
    expect(verifyCheckpointNote(without, vkeysOf(signer).slice(0, 2))).toHaveProperty('fault');
    await signer.retire(START_MS + OVERLAP_MS, 12, without);
    expect(signer.keys()[2]?.transitionCheckpoint).toBe(both);
  });

  test('a key of the newest set is never left out', async () => {
    const { token, openAs, signer: before } = await leftBehind();
    await rotate(before, START_MS, 10);
    const signer = await openAs({ device: token.device });
    await rotate(signer, START_MS, 20);
    expect(linesOf(await signer.sign(headAt(21), START_MS))).toHaveLength(6);
    token.here.isOut = true;
    await expect(signer.sign(headAt(22), START_MS)).rejects.toThrow('the token is out');
  });

  test('give no evidence in the name of another device', async () => {
    const { token, openAs } = await leftBehind();
    const tpm = { attestor: { ...token.device.attestor, backend: 'tpm' as const } };
    const claim = { class: 'tpm-sealed', nonce_b64: '', made_at: '2026-01-01T00:00:00.000Z', tree_size: 0, subject: { log_keys: [] } };
    const signer = await openAs({ device: tpm, former: token.device });
    await expect(signer.attest(claim)).rejects.toMatchObject({ code: 'AttestationMissing' });
    await rotate(signer, START_MS, 10);
    expect(JSON.parse((await signer.attest(claim)).toString())).toHaveProperty('proof.signature_b64');
  });

  test('do not open without the token: what to list is said, and until when', async () => {
    const { openAs, signer } = await leftBehind();
    await expect(openAs({})).rejects.toThrow('a log key is held by a token (ram): list "pkcs11" in service.read_backends, or set service.backend = "pkcs11"');
    await rotate(signer, START_MS, 10);
    await expect(openAs({})).rejects.toThrow('held by a token (ram) and signs until 2026-01-31T00:00:00.000Z: list');
  });
});
