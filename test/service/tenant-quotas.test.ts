import type { Call } from '../../src/service/call.ts';
import { expect, test } from 'vitest';
import { makeTenantQuotas } from '../../src/service/tenant-quotas.ts';

/** A call, and its end. */
function begin() {
  const releases: (() => void)[] = [];
  return { call: { releases } as unknown as Call, end: () => { for (const release of releases) release(); } };
}

function open(keys: number) {
  return makeTenantQuotas({ rates: { chargeTenant: () => undefined }, keyCounts: () => ({ ofTenant: () => keys }) });
}

test('a key that is being made counts like one that is there, for its tenant only, until the call is over', () => {
  const quotas = open(3);
  const take = () => {
    const { call, end } = begin();
    quotas.takeKey(call, 'a', { keys: 5 });
    return end;
  };
  const [end] = [take(), take()];
  expect(take).toThrow('quota');
  quotas.takeKey(begin().call, 'b', { keys: 4 });
  end?.();
  take();
  expect(take).toThrow('quota');
});

test('operations at once have their places until each is over', () => {
  const quotas = open(0);
  const enter = () => {
    const { call, end } = begin();
    quotas.enter(call, 'a', { inFlight: 2 });
    return end;
  };
  const ends = [enter(), enter()];
  expect(enter).toThrow('quota');
  for (const end of ends) end();
  enter();
  enter();
  expect(enter).toThrow('quota');
});
