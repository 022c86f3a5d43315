import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';

type RawKeyType = 'ml-dsa-44' | 'ml-dsa-65' | 'ml-dsa-87' | 'ml-kem-768' | 'ml-kem-1024' | 'x25519';

/** Imported public keys: importing ML-DSA costs as much as verifying with it. The least used go first. */
export interface PublicKeyCache {
  get(publicBytes: Buffer, type: RawKeyType): KeyObject;
}

export function createPublicKeyCache(entriesMax: number): PublicKeyCache {
  const imported = new Map<string, KeyObject>();
  return {
    get(publicBytes, type) {
      const name = publicBytes.toString('latin1');
      const key = imported.get(name) ?? createPublicKey({ key: publicBytes, format: 'raw-public', asymmetricKeyType: type });
      imported.delete(name);
      imported.set(name, key);
      if (imported.size > entriesMax) {
        const [oldest] = imported.keys();
        if (oldest !== undefined) imported.delete(oldest);
      }
      return key;
    },
  };
}
