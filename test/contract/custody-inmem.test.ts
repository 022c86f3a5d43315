import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createInmemCustody } from '../../src/adapters/custody-inmem/custody.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { custodyContract } from './custody.ts';

custodyContract('inmem', async () => {
  const memory = createLockedMemory();
  const cache = createPublicKeyCache(8);
  const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };
  return { custody: createInmemCustody({ primitives, memory }), publicKeys: createPublicKeys(primitives) };
});
