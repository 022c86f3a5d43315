import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createCircuit } from '../../src/core/circuit.ts';

const MS = 1_000_000n;
const config = { failuresMax: 3, firstWaitMs: 100, longestWaitMs: 1000, chance: () => 0 };

/** What a peer does next to a caller that is let through, and how long it takes until the next one comes. */
const step = fc.record({ isUp: fc.boolean(), afterMs: fc.integer({ min: 0, max: 1500 }) });

test('whatever the peer does: once it failed often enough nobody asks before the wait is over, one at a time after it, and never longer than the longest wait', () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (steps, chance) => {
    const circuit = createCircuit({ ...config, chance: () => chance });
    let nowNs = 0n;
    let failures = 0;
    let closedUntilNs = 0n;
    for (const { isUp, afterMs } of steps) {
      nowNs += BigInt(afterMs) * MS;
      const waitMs = circuit.enter(nowNs);
      if (waitMs !== undefined) {
        expect(failures).toBeGreaterThanOrEqual(config.failuresMax);
        expect(nowNs - closedUntilNs).toBeLessThanOrEqual(BigInt(config.longestWaitMs) * MS);
        expect(waitMs).toBeLessThanOrEqual(config.longestWaitMs);
        continue;
      }
      // A second one that comes while the first is on its way goes along only when all is well.
      expect(circuit.enter(nowNs) === undefined).toBe(failures < config.failuresMax);
      if (isUp) {
        circuit.succeeded();
        failures = 0;
      } else {
        circuit.failed(nowNs);
        failures++;
        closedUntilNs = nowNs;
      }
      expect(circuit.isClosed()).toBe(failures < config.failuresMax);
    }
  }));
});

test('each wait is twice the one before, less a part by chance, until it is answered again', () => {
  const circuit = createCircuit({ ...config, failuresMax: 1 });
  let nowNs = 0n;
  const waits: number[] = [];
  for (let i = 0; i < 6; i++) {
    expect(circuit.enter(nowNs)).toBeUndefined();
    circuit.failed(nowNs);
    const waitMs = circuit.enter(nowNs) ?? 0;
    waits.push(waitMs);
    nowNs += BigInt(waitMs) * MS;
  }
  expect(waits).toEqual([100, 200, 400, 800, 1000, 1000]);
  expect(circuit.enter(nowNs)).toBeUndefined();
  circuit.succeeded();
  circuit.failed(nowNs);
  expect(circuit.enter(nowNs)).toBe(100);
});

test('chance takes up to half of a wait away, and never adds to it', () => {
  const waits = [0, 0.25, 0.5, 0.98].map((chance) => {
    const circuit = createCircuit({ ...config, failuresMax: 1, chance: () => chance });
    circuit.failed(0n);
    return circuit.enter(0n);
  });
  expect(waits).toEqual([100, 88, 75, 51]);
});

test('of many that were on their way when it failed, the wait is made longer once', () => {
  const circuit = createCircuit({ ...config, failuresMax: 1 });
  for (let i = 0; i < 50; i++) circuit.enter(0n);
  for (let i = 0; i < 50; i++) circuit.failed(0n);
  expect(circuit.enter(0n)).toBe(100);
});
