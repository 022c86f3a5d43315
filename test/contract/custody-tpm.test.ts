import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import type { Keychain } from '../../src/adapters/root-key/keychain.ts';
import type { SoftTpm } from '../harness/swtpm.ts';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createFileCustody } from '../../src/adapters/custody-file/custody.ts';
import { durableFile } from '../../src/adapters/files/durable-file.ts';
import { openKeychain } from '../../src/adapters/root-key/keychain.ts';
import { makeRootKey, sealRootKey } from '../../src/adapters/root-key/root-key.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { createTpmKeyDevice } from '../../src/adapters/tpm/key-device.ts';
import { createTpm } from '../../src/adapters/tpm/tpm.ts';
import { aeads } from '../../src/core/algorithm/table.ts';
import { startSoftTpm, SWTPM, SWTPM_MISSING } from '../harness/swtpm.ts';
import { sealing } from '../harness/sealing-custody.ts';
import { custodyContract } from './custody.ts';

if (SWTPM === undefined) console.warn(SWTPM_MISSING);
const INSTANCE = 'an instance';
const memory = createLockedMemory();
const cache = createPublicKeyCache(8);
const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };

describe.skipIf(SWTPM === undefined)('under a root key that a TPM sealed', () => {
  const root = mkdtempSync(join(tmpdir(), 'custody-tpm-'));
  let soft: SoftTpm;
  let rootKeys: Keychain;
  beforeAll(async () => {
    soft = await startSoftTpm();
    const path = join(root, 'root-key.json');
    const opener = { seal: 'tpm', device: createTpmKeyDevice({ tpm: createTpm({ device: soft.device }), pcrs: [7], pin: undefined }) } as const;
    await durableFile(path).replace(await sealRootKey(makeRootKey(memory), INSTANCE, opener, memory));
    rootKeys = await openKeychain({ path, instanceId: INSTANCE, opener, memory });
  });
  afterAll(async () => {
    rootKeys.destroy();
    await soft.drop();
    rmSync(root, { recursive: true, force: true });
  });
  custodyContract('tpm', async () => ({
    custody: sealing(createFileCustody({ primitives, memory, rootKeys, aead: aeads['ChaCha20-Poly1305'], cacheKeysMax: 2, attestationClass: 'tpm-sealed' })),
    publicKeys: createPublicKeys(primitives),
  }));
});
