import type { DurableFile } from '../../src/adapters/files/durable-file.ts';
import type { LogKeysDeps } from '../../src/adapters/log-keys/open.ts';
import type { LogSigner } from '../../src/ports/log-signer.ts';
import { expect } from 'vitest';
import { parseNote } from '../../client/src/log/note.ts';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { makeLogKeys, openLogSigner } from '../../src/adapters/log-keys/open.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';

export const DAY_MS = 86_400_000;
export const START_MS = Date.parse('2026-01-01T00:00:00Z');
export const OVERLAP_MS = 30 * DAY_MS;
export const INSTANCE = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';
export const OTHER = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0c';
export const ORIGIN = `ron-kms/${INSTANCE}`;
export const memory = createLockedMemory();
export const signatures = createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: createPublicKeyCache(8) });

/** A file in RAM that can fail: before anything is written, or after all of it is. */
function fileThatMayFail(): DurableFile & { text: string; fault: 'before' | 'after' | undefined } {
  return {
    text: '', fault: undefined,
    async read() { return Buffer.from(this.text); },
    async replace(content) {
      if (this.fault === 'before') throw new Error('no space left');
      this.text = content;
      if (this.fault === 'after') throw new Error('the flush failed');
    },
  };
}

export async function newLog(instanceId = INSTANCE, rootKey = makeRootKey(memory)) {
  const file = fileThatMayFail();
  const deps: LogKeysDeps = { file, instanceId, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: rootKey }], instanceId, memory), signatures, memory, keyOverlapMs: OVERLAP_MS };
  const signer = await makeLogKeys({ ...deps, nowMs: START_MS });
  return { file, deps, rootKey, signer, reopen: () => openLogSigner(deps) };
}

export function headAt(size: number, origin = ORIGIN) {
  return { origin, size, rootHash: Buffer.alloc(32, size % 256) };
}

export const vkeysOf = (signer: LogSigner) => signer.keys().map(({ vkey }) => parseVkey(vkey) ?? expect.unreachable());
export const linesOf = (note: string) => parseNote(note)?.signatures.map(({ keyId }) => keyId.toString('hex')) ?? [];
export const idsOf = (signer: LogSigner, from = 0, to?: number) => vkeysOf(signer).slice(from, to).map(({ keyId }) => keyId.toString('hex'));

export async function rotate(signer: LogSigner, nowMs: number, index: number, reason: 'scheduled' | 'command' | 'compromised' = 'scheduled') {
  const said = await signer.prepare(reason, nowMs, index);
  await signer.activate(index);
  return said;
}
