import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KeySpec } from '../../src/core/algorithm/table.ts';
import type { PublicPart } from '../../src/core/key/record.ts';
import { createInmemCustody } from '../../src/adapters/custody-inmem/custody.ts';
import { algNames, signatureSchemes, specsOf } from '../../src/core/algorithm/table.ts';
import { createOurPrimitives } from './our-primitives.ts';

const specs = algNames.flatMap((alg) => specsOf(alg).flatMap((spec) => (spec.kind === 'aead' ? [] : [spec])));

/** The keys in a public part: the composite and X-Wing are two side by side, the post-quantum one first. */
const componentsOf = ({ alg, bytes }: PublicPart): readonly Buffer[] => {
  if (alg === 'mldsa65-ed25519-sha512') return [bytes.subarray(0, signatureSchemes['ML-DSA-65'].publicBytes), bytes.subarray(signatureSchemes['ML-DSA-65'].publicBytes)];
  return alg === 'x25519+ml-kem' ? [bytes.subarray(0, -32), bytes.subarray(-32)] : [bytes];
};

test('whatever keys are made, in whatever order, no two share a component, in one algorithm or across two', async () => {
  const { primitives, memory } = createOurPrimitives();
  const custody = createInmemCustody({ primitives, memory });
  const owners = new Map<string, string>();
  let made = 0;
  await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom<KeySpec>(...specs), { minLength: specs.length, maxLength: 2 * specs.length }), async (batch) => {
    const generated = await Promise.all(batch.map(async (spec) => {
      const kid = `key ${made++}`;
      return { kid, parts: (await custody.generate(kid, spec)).publicParts };
    }));
    for (const { kid, parts } of generated) {
      expect(parts.length).toBeGreaterThan(0);
      for (const component of parts.flatMap(componentsOf)) {
        expect(owners.get(component.toString('hex'))).toBeUndefined();
        owners.set(component.toString('hex'), kid);
      }
    }
  }), { numRuns: 20 });
  // Every component stands once: the map lost none of them to another.
  expect(owners.size).toBeGreaterThan(made);
});
