import type { Anchor } from '../../src/ports/anchor.ts';
import type { Chance } from './chance.ts';
import type { Conditions } from './conditions.ts';
import { KmsError } from '../../src/core/errors.ts';

const ADVANCED: { readonly cosignatures?: string } = {};

/** A counting device beside the service, which may be out, and may have done what it was asked when it says that it has not: at once, or just after it was looked at. */
export function createSimulatedAnchor(conditions: Conditions, chance: Chance, sleep: (ms: number) => Promise<void>): Anchor {
  let late: { readonly value: number; readonly treeSize: number; readonly rootHash: Buffer } | undefined;

  const valueNow = (): number => (conditions.anchored !== undefined && 'value' in conditions.anchored ? conditions.anchored.value : 0);
  const take = ({ value, treeSize, rootHash }: NonNullable<typeof late>): void => {
    if (valueNow() === value - 1) conditions.anchored = { value, head: { treeSize, rootHash } };
  };
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
      const seen = conditions.anchored;
      if (late !== undefined && chance.percent(50)) {
        take(late);
        late = undefined;
      }
      return seen;
    },
    async advance(value, { treeSize, rootHash }) {
      // Whoever asked may die now, and what it asked for is still on its way.
      if (chance.percent(30)) late = { value, treeSize, rootHash };
      await reach();
      late = undefined;
      if (value !== valueNow() + 1) return { fault: `the anchor stands at ${valueNow()} and was to go to ${value}` };
      take({ value, treeSize, rootHash });
      await reach();
      return ADVANCED;
    },
  };
}
