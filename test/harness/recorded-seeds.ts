import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';

/** Primitives that put a copy of every private seed that custody makes where it is asked for, taken on the way in. */
export function recordingSeeds({ signatures, kems }: Primitives, seeds: Buffer[]): Primitives {
  const remember = (seed: Buffer): Buffer => {
    seeds.push(Buffer.from(seed));
    return seed;
  };
  return {
    signatures: mapValues(signatures, (primitive) => ({ ...primitive, signerFromSeed: (seed: Buffer) => primitive.signerFromSeed(remember(seed)) })),
    kems: mapValues(kems, (primitive) => ({ ...primitive, fromSeed: (seed: Buffer) => primitive.fromSeed(remember(seed)) })),
  };
}

function mapValues<K extends string, V>(record: Readonly<Record<K, V>>, change: (value: V) => V): Record<K, V> {
  return Object.fromEntries(Object.entries<V>(record).map(([key, value]) => [key, change(value)])) as Record<K, V>;
}
