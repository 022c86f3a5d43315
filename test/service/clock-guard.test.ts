import { beforeEach, describe, expect, test } from 'vitest';
import { createClockGuard } from '../../src/service/clock-guard.ts';

const START_MS = 1_700_000_000_000;
let steppedMs = 0;
let ns = 0n;
let lastEntryMs = 0;
let isKeptRight = true;
beforeEach(() => { steppedMs = 0; ns = 0n; lastEntryMs = 0; isKeptRight = true; });

const pass = (seconds: number): void => { ns += BigInt(seconds) * 1_000_000_000n; };
const guardOf = () => createClockGuard({
  clock: { wallMs: () => START_MS + steppedMs + Number(ns / 1_000_000n), monotonicNs: () => ns },
  audit: { lastEntryMs: () => lastEntryMs }, toleranceMs: () => 2000, isKeptRight: () => isKeptRight,
});

test('a clock that nothing keeps right any more is doubted, until it is kept right for 30 s or accepted', () => {
  const guard = guardOf();
  isKeptRight = false;
  guard.check();
  expect(() => guard.require()).toThrow('doubted');
  isKeptRight = true;
  pass(29);
  guard.check();
  expect(guard.isTrusted()).toBe(false);
  pass(2);
  guard.check();
  expect(guard.isTrusted()).toBe(true);
  isKeptRight = false;
  guard.check();
  guard.accept();
  pass(1);
  guard.check();
  expect(guard.isTrusted()).toBe(true);
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

test('a clock behind the last entry by no more than the tolerance is trusted, and by more is doubted', () => {
  const guard = guardOf();
  lastEntryMs = START_MS + 2000;
  guard.check();
  expect(guard.isTrusted()).toBe(true);
  lastEntryMs = START_MS + 2001;
  guard.check();
  expect(guard.isTrusted()).toBe(false);
});
