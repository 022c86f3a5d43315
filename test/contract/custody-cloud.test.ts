import type { KeyService } from '../harness/key-service.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
import { aeads, specOf } from '../../src/core/algorithm/table.ts';
import { startVault, VAULT_TOKEN } from '../harness/key-service.ts';
import { sealing } from '../harness/sealing-custody.ts';
import { custodyContract } from './custody.ts';

const memory = createLockedMemory();
const cache = createPublicKeyCache(8);
const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };

const fileCustody = () => createFileCustody({ primitives, memory, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], 'an instance', memory), aead: aeads['ChaCha20-Poly1305'], cacheKeysMax: 2 });

test('what grew beyond an envelope at the service is refused, and never given out as one', async () => {
  const kms = { name: 'one that adds a lot', encrypt: async (plaintext: Buffer) => Buffer.concat([plaintext, Buffer.alloc(200)]), decrypt: async () => undefined, close: () => undefined };
  const custody = sealing(createCloudCustody({ kms, file: fileCustody(), clock: systemClock, chance: () => 0 }));
  const kid = 'core/contract/aes-256-gcm/01890000-0000-7000-8000-000000000001#v1';
  const version = { version: 1, kid, kidHash: '', state: 'enabled', createdAtMs: 0, ...await custody.generate(kid, specOf('aes-256-gcm', undefined)) } as VersionRecord;
  const seal = (bytes: number) => custody.sealAead(version, aeads['AES-256-GCM'], Buffer.alloc(12), Buffer.alloc(0), Buffer.alloc(bytes));
  expect(await seal(3500)).toHaveLength(3716);
  // Its plaintext still fits there; what comes back fits nowhere.
  await expect(seal(4000)).rejects.toMatchObject({ code: 'Unsupported' });
});

describe('with a key service elsewhere', () => {
  let vault: KeyService;
  beforeAll(async () => { vault = await startVault('first'); });
  afterAll(() => vault.end());
  custodyContract('cloud', async () => ({
    custody: sealing(createCloudCustody({
      kms: openVaultTransit({ endpoint: vault.url, mount: 'transit', key: 'first', token: () => VAULT_TOKEN, deadlineMs: 1000 }),
      file: fileCustody(),
      clock: systemClock, chance: () => 0,
    })),
    publicKeys: createPublicKeys(primitives),
  }));
});
