/** The keys that authenticate the rows, handed from the thread that has the root key to those that read the database. */
import type { Secret } from '../../core/secret.ts';
import type { RootKeys } from '../root-key/root-keys.ts';
import sodium from 'sodium-native';
import { REVEAL } from '../../core/reveal.ts';

/** From what the key of an epoch is derived: the root key of that epoch. */
export const STORE_MAC_INFO = 'ron-kms::ron-kms::store::mac';

/** A key on its way to another thread: memory that both see, so that no copy stays in a message. */
export interface KeyOnItsWay {
  readonly epoch: string;
  readonly bytes: SharedArrayBuffer;
}

function handOver(epoch: string, key: Secret): KeyOnItsWay {
  const bytes = new SharedArrayBuffer(key.read(REVEAL).length);
  new Uint8Array(bytes).set(key.read(REVEAL));
  return { epoch, bytes };
}

/** The key of an epoch whose root key is there. */
export function onItsWay(epoch: string, rootKeys: RootKeys): KeyOnItsWay {
  const key = rootKeys.derive(epoch, STORE_MAC_INFO);
  if (key === undefined) throw new Error('the root key of an epoch is there');
  try {
    return handOver(epoch, key);
  } finally {
    key.destroy();
  }
}

export function onTheirWay(rootKeys: RootKeys): readonly KeyOnItsWay[] {
  return rootKeys.epochs().map((epoch) => onItsWay(epoch, rootKeys));
}

/** The keys by epoch, in locked memory of this thread. */
export interface KeyRing {
  /** Takes the key over: what it came in is zeroed. */
  take(key: KeyOnItsWay): void;
  of(epoch: string): Buffer | undefined;
  /** All but this one. */
  others(epoch: string): readonly string[];
  /** All others are over: they are zeroed. */
  keepOnly(epoch: string): void;
}

export function createKeyRing(keys: readonly KeyOnItsWay[]): KeyRing {
  const ring = new Map<string, Buffer>();
  const take = ({ epoch, bytes }: KeyOnItsWay): void => {
    const passed = new Uint8Array(bytes);
    const key = sodium.sodium_malloc(passed.length);
    key.set(passed);
    passed.fill(0);
    ring.set(epoch, key);
  };
  for (const key of keys) take(key);
  return {
    take,
    of: (epoch) => ring.get(epoch),
    others: (epoch) => [...ring.keys()].filter((one) => one !== epoch),
    keepOnly(epoch) {
      for (const [of, key] of ring) {
        if (of === epoch) continue;
        ring.delete(of);
        sodium.sodium_memzero(key);
      }
    },
  };
}
