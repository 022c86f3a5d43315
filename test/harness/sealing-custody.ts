import type { Custody } from '../../src/ports/custody.ts';

/** As the service does: what is generated is sealed once, to the generation of the mutation that makes it. */
export function sealing(custody: Custody): Custody {
  return {
    ...custody,
    async generate(kid, spec) {
      const { seal, ...made } = await custody.generate(kid, spec);
      return { ...made, custodyBlob: seal?.(7), sealedGeneration: 7 } as never;
    },
  };
}
