import type { Anchor } from '../../src/ports/anchor.ts';
import type { Chance } from './chance.ts';
import type { Conditions } from './conditions.ts';
import { KmsError } from '../../src/core/errors.ts';

const ADVANCED: { readonly cosignatures?: string } = {};

/** A counting device beside the service, which may be out, and may have done what it was asked when it says that it has not. */
export function createSimulatedAnchor(conditions: Conditions, chance: Chance, sleep: (ms: number) => Promise<void>): Anchor {
  const reach = async (): Promise<void> => {
    await sleep(0.2 + 5 * chance.next() ** 2);
    if (!conditions.isAnchorOut) return;
    await sleep(conditions.anchorOutMs);
    throw new KmsError('AuditUnavailable');
  };
  return {
    kind: 'file',
    async read() {
      await reach();
      return conditions.anchored;
    },
    async advance(value, { treeSize, rootHash }) {
      await reach();
      const held = conditions.anchored !== undefined && 'value' in conditions.anchored ? conditions.anchored.value : 0;
      if (value !== held + 1) return { fault: `the anchor stands at ${held} and was to go to ${value}` };
      conditions.anchored = { value, head: { treeSize, rootHash } };
      await reach();
      return ADVANCED;
    },
  };
}
