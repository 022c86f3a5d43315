import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { LockedMemory } from '../../src/adapters/system/locked-memory.ts';
import type { PublicKeys } from '../../src/ports/public-keys.ts';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';

const POOL_WIDTH = 2;
const PUBLIC_KEYS_CACHED = 64;

/** The project's own native primitives, wired as the service wires them. */
export function createOurPrimitives(): { readonly primitives: Primitives; readonly publicKeys: PublicKeys; readonly memory: LockedMemory } {
  const memory = createLockedMemory();
  const publicKeys = createPublicKeyCache(PUBLIC_KEYS_CACHED);
  const primitives = {
    signatures: createSignaturePrimitives({ memory, gate: createPoolGate(POOL_WIDTH), publicKeys }),
    kems: createKemPrimitives(publicKeys),
  };
  return { primitives, publicKeys: createPublicKeys(primitives), memory };
}
