import { beforeEach, describe, expect, test } from 'vitest';
import { createClockGuard } from '../../src/service/clock-guard.ts';

const START_MS = 1_700_000_000_000;
let steppedMs = 0;
let ns = 0n;
let lastEntryMs = 0;
beforeEach(() => { steppedMs = 0; ns = 0n; lastEntryMs = 0; });

const pass = (seconds: number): void => { ns += BigInt(seconds) * 1_000_000_000n; };
const guardOf = () => createClockGuard({
  clock: { wallMs: () => START_MS + steppedMs + Number(ns / 1_000_000n), monotonicNs: () => ns },
  audit: { lastEntryMs: () => lastEntryMs }, toleranceMs: () => 2000,
});

describe('accepting the clock', () => {
  test('after a step: trusted at once, and not after the next one', () => {
    const guard = guardOf();
    steppedMs = 10_000;
    guard.check();
    expect(() => guard.require()).toThrow();
    guard.accept();
    guard.require();
    pass(1);
    guard.check();
    expect(guard.isTrusted()).toBe(true);
    steppedMs = 20_000;
    guard.check();
    expect(guard.isTrusted()).toBe(false);
  });

  test('behind the last entry: trusted as long as it runs on, doubted again when it steps', () => {
    const guard = guardOf();
    lastEntryMs = START_MS + 3_600_000;
    guard.check();
    pass(60);
    guard.check();
    expect(guard.isTrusted()).toBe(false);
    guard.accept();
    for (let i = 0; i < 60; i++) {
      pass(1);
      guard.check();
    }
    expect(guard.isTrusted()).toBe(true);
    steppedMs = -5000;
    guard.check();
    pass(60);
    guard.check();
    expect(guard.isTrusted()).toBe(false);
  });

  test('a step that nobody had looked at yet is accepted with it', () => {
    const guard = guardOf();
    steppedMs = 60_000;
    guard.accept();
    guard.check();
    expect(guard.isTrusted()).toBe(true);
  });
});
