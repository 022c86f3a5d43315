import type { Aead } from '../../src/core/algorithm/table.ts';
import type { Custody } from '../../src/ports/custody.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createPublicKeys } from '../../src/adapters/crypto/public-keys.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createFileCustody } from '../../src/adapters/custody-file/custody.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { aeads, specOf } from '../../src/core/algorithm/table.ts';
import { sealing } from '../harness/sealing-custody.ts';
import { custodyContract } from './custody.ts';

const memory = createLockedMemory();
const cache = createPublicKeyCache(8);
const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };
const held = [{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }];
const rootKeys = rootKeysOf(held, 'an instance', memory);
const custodyOf = (keys = rootKeys, aead: Aead = aeads['ChaCha20-Poly1305'], cacheKeysMax = 2, unsealedBytesMax?: number) => createFileCustody({ primitives, memory, rootKeys: keys, aead, cacheKeysMax, ...(unsealedBytesMax !== undefined && { unsealedBytesMax }) });

custodyContract('file', async () => ({ custody: sealing(custodyOf()), publicKeys: createPublicKeys(primitives) }));

const MESSAGE = Buffer.from('message');
const NOTHING = Buffer.alloc(0);
const spec = specOf('ed25519+ml-dsa', 'ML-DSA-65');
const schemes = spec.kind === 'signature' ? spec.schemes : [];
const KID = 'core/audit/ed25519+ml-dsa/01890000-0000-7000-8000-000000000001#v1';

async function versionOf(custody: Custody, kid = KID, generation = 7): Promise<VersionRecord> {
  const { publicParts, attestationClass, seal } = await custody.generate(kid, spec);
  const blob = seal?.(generation);
  if (blob === undefined) throw new Error('a file custody seals');
  return { version: 1, kid, kidHash: '', state: 'enabled', createdAtMs: 0, publicParts, attestationClass, custodyBlob: blob, sealedGeneration: generation };
}

describe('a sealed private part', () => {
  test('opens for another process that has the root key, whichever AEAD it seals with', async () => {
    for (const aead of Object.values(aeads)) {
      const version = await versionOf(custodyOf(rootKeys, aead));
      for (const other of Object.values(aeads)) expect(await custodyOf(rootKeys, other).sign(version, schemes, MESSAGE, NOTHING)).toHaveLength(2);
    }
  });

  test('opens in no other place: not for another kid, version, generation, instance or root key', async () => {
    const version = await versionOf(custodyOf());
    const other = await versionOf(custodyOf(), KID.replace('#v1', '#v2'));
    const elsewhere: readonly VersionRecord[] = [
      { ...version, sealedGeneration: 8 }, { ...version, kid: KID.replace('#v1', '#v2') }, { ...version, kid: KID.replace('core/', 'other/') },
      { ...version, kid: KID.replace('/audit/', '/release/') }, { ...version, custodyBlob: other.custodyBlob as Buffer },
    ];
    for (const moved of elsewhere) await expect(custodyOf().sign(moved, schemes, MESSAGE, NOTHING), moved.kid).rejects.toMatchObject({ code: 'StoreUnavailable' });
    const foreign = [rootKeysOf(held, 'another instance', memory), rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], 'an instance', memory)];
    for (const keys of foreign) await expect(custodyOf(keys).sign(version, schemes, MESSAGE, NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(await custodyOf().sign(version, schemes, MESSAGE, NOTHING)).toHaveLength(2);
  });

  test('does not open when any one bit of it differs', async () => {
    const version = await versionOf(custodyOf());
    const blob = version.custodyBlob as Buffer;
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const flipped = Buffer.from(blob);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await expect(custodyOf().sign({ ...version, custodyBlob: flipped }, schemes, MESSAGE, NOTHING), `bit ${bit}`).rejects.toMatchObject({ code: 'StoreUnavailable' });
    }
    for (const length of [0, 1, 10, 22, blob.length - 1]) await expect(custodyOf().sign({ ...version, custodyBlob: blob.subarray(0, length) }, schemes, MESSAGE, NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  test('is not used beside a public part that is not its own', async () => {
    const version = await versionOf(custodyOf());
    const [ed25519, mlDsa] = version.publicParts as [VersionRecord['publicParts'][0], VersionRecord['publicParts'][0]];
    const swapped = { ...version, publicParts: [{ ...ed25519, bytes: randomBytes(32) }, mlDsa] };
    await expect(custodyOf().sign(swapped, schemes, MESSAGE, NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  test('shows no seed, and no two are alike', async () => {
    const custody = custodyOf();
    const blobs = await Promise.all(Array.from({ length: 50 }, async () => (await versionOf(custody)).custodyBlob as Buffer));
    expect(new Set(blobs.map((blob) => blob.toString('hex'))).size).toBe(50);
    expect(new Set(blobs.map((blob) => blob.toString('hex', 10, 22))).size).toBe(50);
    // Format, AEAD, epoch, nonce, two seeds, tag.
    expect(blobs.every((blob) => blob.length === 1 + 1 + 8 + 12 + 64 + 16)).toBe(true);
  });

  test('of an erased version is not used again, though a reader still holds its record', async () => {
    const custody = custodyOf();
    const version = await versionOf(custody);
    await custody.sign(version, schemes, MESSAGE, NOTHING);
    await custody.erase(version);
    await expect(custody.sign(version, schemes, MESSAGE, NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  test('stays unsealed for a bounded number of keys only', async () => {
    const custody = custodyOf(rootKeys, aeads['ChaCha20-Poly1305'], 3);
    const versions = await Promise.all(Array.from({ length: 9 }, (_, i) => versionOf(custody, KID.replace('001#', `00${i + 1}#`))));
    for (const version of [...versions, ...versions]) expect(await custody.sign(version, schemes, MESSAGE, NOTHING)).toHaveLength(2);
    expect(custody.unsealed()).toBe(3);
    // Also while they push each other out.
    await Promise.all(Array.from({ length: 200 }, (_, i) => custody.sign(versions[i % 9] as VersionRecord, schemes, MESSAGE, NOTHING)));
    expect(custody.unsealed()).toBe(3);
  });

  test('stays unsealed within a bounded memory, however many keys may be; one alone may be larger than that', async () => {
    const versions = await Promise.all(Array.from({ length: 9 }, (_, i) => versionOf(custodyOf(), KID.replace('001#', `00${i + 1}#`))));
    const unsealedWithin = async (bytesMax: number): Promise<number> => {
      const custody = custodyOf(rootKeys, aeads['ChaCha20-Poly1305'], 100, bytesMax);
      for (const version of [...versions, ...versions]) expect(await custody.sign(version, schemes, MESSAGE, NOTHING)).toHaveLength(2);
      return custody.unsealed();
    };
    // A hybrid key takes about 32 KiB.
    expect(await unsealedWithin(200 * 1024)).toBe(6);
    expect(await unsealedWithin(100 * 1024 * 1024)).toBe(9);
    expect(await unsealedWithin(1)).toBe(1);
  });

  test('moves to the next root key, and then opens without the one before', async () => {
    const both = [...held];
    const keys = rootKeysOf(both, 'an instance', memory);
    const custody = custodyOf(keys);
    const version = await versionOf(custody);
    both.push({ epoch: '01'.repeat(8), key: makeRootKey(memory) });
    const row = { kid: version.kid, sealedGeneration: 7, blob: version.custodyBlob as Buffer };
    const moved = custody.reseal(row);
    expect(custody.reseal({ ...row, blob: moved })).toBe(moved);
    expect(() => custody.reseal({ ...row, sealedGeneration: 8 })).toThrow();
    both.shift();
    expect(await custodyOf(keys).sign({ ...version, custodyBlob: moved }, schemes, MESSAGE, NOTHING)).toHaveLength(2);
    await expect(custodyOf(keys).sign(version, schemes, MESSAGE, NOTHING)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });
});
