import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Place } from '../../src/adapters/custody-file/sealed-blob.ts';
import { openBlob, sealBlob } from '../../src/adapters/custody-file/sealed-blob.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { aeads, algNames } from '../../src/core/algorithm/table.ts';
import { REVEAL } from '../../src/core/reveal.ts';

const memory = createLockedMemory();
const held = [FIRST_EPOCH, 'a1'.repeat(8)].map((epoch) => ({ epoch, key: makeRootKey(memory) }));

/** Names that could be taken for each other when they were joined carelessly. */
const name = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,5}$/);
const kid = fc.record({ tenant: name, purpose: name, alg: fc.constantFrom(...algNames), id: fc.uuid({ version: 7 }), version: fc.integer({ min: 1, max: 12 }) })
  .map(({ tenant, purpose, alg, id, version }) => `${tenant}/${purpose}/${alg}/${id}#v${version}`);
const place: fc.Arbitrary<Place> = fc.record({ kid, generation: fc.integer({ min: 1, max: 2 ** 40 }) });

test('what is sealed for one place opens there and in no other, whatever the two places are', () => {
  const rootKeys = rootKeysOf(held, 'an instance', memory);
  fc.assert(fc.property(place, place, fc.constantFrom(...Object.values(aeads)), (own, other, aead) => {
    const blob = sealBlob(Buffer.from('seeds of a key'), own, aead, rootKeys);
    expect(openBlob(blob, own, rootKeys, memory)?.toString()).toBe('seeds of a key');
    const elsewhere = [other, { ...own, kid: other.kid }, { ...own, generation: other.generation }].filter((one) => one.kid !== own.kid || one.generation !== own.generation);
    for (const one of elsewhere) expect(openBlob(blob, one, rootKeys, memory)).toBeUndefined();
  }), { numRuns: 300 });
});

test('every use, of every root key, in every instance, has a key of its own', () => {
  const uses = fc.uniqueArray(fc.tuple(fc.constantFrom(FIRST_EPOCH, 'a1'.repeat(8)), fc.oneof(kid, fc.string({ maxLength: 20 })), fc.constantFrom('an instance', 'another instance')), { minLength: 2, maxLength: 12, selector: (use) => use.join('\n') });
  fc.assert(fc.property(uses, (all) => {
    const keys = all.map(([epoch, info, instance]) => {
      const key = rootKeysOf(held, instance, memory).derive(epoch, info);
      const hex = key?.read(REVEAL).toString('hex');
      key?.destroy();
      return hex;
    });
    expect(new Set(keys).size).toBe(all.length);
    expect(keys).not.toContain(undefined);
  }), { numRuns: 200 });
});
