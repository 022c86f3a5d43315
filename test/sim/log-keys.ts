import type { FileLayer } from '../../src/adapters/audit-file/file-layer.ts';
import type { SignaturePrimitive } from '../../src/adapters/crypto/signatures.ts';
import type { DurableFile } from '../../src/adapters/files/durable-file.ts';
import type { LogKeysDeps } from '../../src/adapters/log-keys/open.ts';
import type { LockedMemory } from '../../src/adapters/system/locked-memory.ts';
import type { LogSigner } from '../../src/ports/log-signer.ts';
import type { DiskImage } from '../harness/faulty-files.ts';
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { replaceDurably } from '../../src/adapters/files/durable-file.ts';
import { makeLogKeys, openLogSigner } from '../../src/adapters/log-keys/open.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { newDisk } from '../harness/simulated-log.ts';

/** The keys of a simulated log: made, sealed and changed by the service's own code. */
export interface SimulatedLogKeys {
  /** A disk on which an instance was just initialised. */
  readonly disk: DiskImage;
  /** The keys that `init` printed. */
  readonly vkeys: readonly string[];
  /** As a process that starts does it. */
  open(files: FileLayer): Promise<LogSigner>;
}

const INSTANCE_ID = '01890000-0000-7000-8000-0000000010c5';
const PATH = '/log/log-keys.json';
/** Short, so that a day sees several changes and their ends. */
export const KEY_ROTATION_MS = 4 * 3_600_000;
const KEY_OVERLAP_MS = 30 * 60_000;

/** Of thousands of processes, none of which gives anything back when it is killed. */
const memory: LockedMemory = { take: (lengthBytes) => Buffer.alloc(lengthBytes), give: (slot) => { slot.fill(0); } };

/** At once: time does not pass for a thread of the pool. */
const mlDsa44: SignaturePrimitive = {
  seedBytes: 32,
  signerFromSeed(seed) {
    const key = createPrivateKey({ key: seed, format: 'raw-seed', asymmetricKeyType: 'ml-dsa-44' });
    return { publicBytes: createPublicKey(key).export({ format: 'raw-public' }), sign: (message, context) => sign(null, message, { key, context }), destroy: () => undefined };
  },
  verify: () => { throw new Error('a log verifies notes by itself'); },
};

export async function createSimulatedLogKeys(): Promise<SimulatedLogKeys> {
  const signatures = { ...createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys: createPublicKeyCache(1) }), 'ML-DSA-44': mlDsa44 };
  const deps: Omit<LogKeysDeps, 'file'> = {
    instanceId: INSTANCE_ID, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], INSTANCE_ID, memory), signatures, memory, keyOverlapMs: KEY_OVERLAP_MS,
  };
  let first: Buffer = Buffer.alloc(0);
  const ofInit: DurableFile = { read: async () => first, replace: async (content) => { first = Buffer.from(content); } };
  const signer = await makeLogKeys({ ...deps, file: ofInit, nowMs: 0 });
  return {
    disk: new Map([...newDisk(signer), [PATH, first]]),
    vkeys: signer.keys().map(({ vkey }) => vkey),
    open: (files) => openLogSigner({ ...deps, file: {
      read: async () => await files.read(PATH) ?? Buffer.alloc(0),
      replace: (content) => replaceDurably(PATH, Buffer.from(content), files),
    } }),
  };
}
