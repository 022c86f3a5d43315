import type { KeyService } from '../harness/key-service.ts';
import { afterAll, beforeAll, describe } from 'vitest';
import { openVaultTransit } from '../../src/adapters/cloud-kms/vault.ts';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createCloudCustody } from '../../src/adapters/custody-cloud/custody.ts';
import { createFileCustody } from '../../src/adapters/custody-file/custody.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { aeads } from '../../src/core/algorithm/table.ts';
import { startVault, VAULT_TOKEN } from '../harness/key-service.ts';
import { sealing } from '../harness/sealing-custody.ts';
import { custodyContract } from './custody.ts';

const memory = createLockedMemory();
const cache = createPublicKeyCache(8);
const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };

describe('with a key service elsewhere', () => {
  let vault: KeyService;
  beforeAll(async () => { vault = await startVault('first'); });
  afterAll(() => vault.end());
  custodyContract('cloud', async () => ({
    custody: sealing(createCloudCustody({
      kms: openVaultTransit({ endpoint: vault.url, mount: 'transit', key: 'first', token: () => VAULT_TOKEN, deadlineMs: 1000 }),
      file: createFileCustody({ primitives, memory, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], 'an instance', memory), aead: aeads['ChaCha20-Poly1305'], cacheKeysMax: 2 }),
      clock: systemClock, chance: () => 0,
    })),
    publicKeys: createPublicKeys(primitives),
  }));
});
