import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { createSecondChance } from '../../core/second-chance.ts';

type RawKeyType = 'ml-dsa-44' | 'ml-dsa-65' | 'ml-dsa-87' | 'ml-kem-768' | 'ml-kem-1024' | 'x25519';

/** Imported public keys: importing ML-DSA costs as much as verifying with it. One not used lately goes first. */
export interface PublicKeyCache {
  get(publicBytes: Buffer, type: RawKeyType): KeyObject;
}

export function createPublicKeyCache(entriesMax: number): PublicKeyCache {
  const imported = createSecondChance<string, KeyObject>(entriesMax);
  return {
    get(publicBytes, type) {
      const name = publicBytes.toString('latin1');
      const known = imported.get(name);
      if (known !== undefined) return known;
      const key = createPublicKey({ key: publicBytes, format: 'raw-public', asymmetricKeyType: type });
      imported.put(name, key);
      return key;
    },
  };
}
