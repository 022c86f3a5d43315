import type { Envelope } from '../../src/core/envelope/envelope.ts';
import type { Custody } from '../../src/ports/custody.ts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
import { KmsError } from '../../src/core/errors.ts';
import { BackendGone } from '../../src/ports/custody.ts';
import { guardCustody } from '../../src/service/custody-guard.ts';

const KID = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001#v1';
const NOTHING = Buffer.alloc(0);
const SPEC = specOf('ed25519', undefined);
const VERSION = { version: 1, kid: KID, kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'test', publicParts: [] } as const;

/** A custody of which each call ends when, and how, the test says. */
function open({ hasProbe = true } = {}) {
  const asked: { readonly call: string; readonly args: readonly unknown[]; readonly resolve: (value: unknown) => void; readonly reject: (fault: unknown) => void }[] = [];
  const events: string[] = [];
  const call = (name: string) => (...args: readonly unknown[]) => new Promise((resolve, reject) => { asked.push({ call: name, args, resolve, reject }); });
  const names = ['sign', 'sealAead', 'open', 'generate', 'erase', ...(hasProbe ? ['probe'] : [])];
  const custody = Object.fromEntries(names.map((name) => [name, call(name)])) as unknown as Custody;
  let nowNs = 3_000_000_000n;
  const guard = guardCustody({
    custody, chance: () => 0, clock: { ...systemClock, monotonicNs: () => nowNs },
    telemetry: { event: (_level, event) => { events.push(event); } },
  });
  const sign = (): Promise<string> => guard.sign(VERSION, [], NOTHING, NOTHING).then(() => 'ok', (fault: { code: string; retryAfterS?: number }) => `${fault.code} ${fault.retryAfterS}`);
  return { guard, asked, events, sign, pass: (ms: number) => { nowNs += BigInt(ms) * 1_000_000n; } };
}

beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }); });
afterEach(() => { vi.useRealTimers(); });

describe('what comes behind its deadline is nobody\'s', () => {
  test('a plaintext is overwritten', async () => {
    const { guard, asked } = open();
    const envelope = { kid: undefined } as unknown as Envelope;
    const refused = expect(guard.open(VERSION, SPEC, envelope, NOTHING)).rejects.toMatchObject({ code: 'Timeout', status: 504, hint: 'the backend that holds the keys did not answer within 2 s' });
    await vi.advanceTimersByTimeAsync(2000);
    await refused;
    const plaintext = Buffer.alloc(32, 7);
    expect(guard.busy()).toBe(1);
    asked[0]?.resolve(plaintext);
    await expect.poll(() => guard.busy()).toBe(0);
    expect(plaintext).toEqual(Buffer.alloc(32));
  });

  test('a key that was made is erased', async () => {
    const { guard, asked } = open();
    const refused = expect(guard.generate(KID, SPEC)).rejects.toMatchObject({ code: 'Timeout' });
    await vi.advanceTimersByTimeAsync(3999);
    expect(guard.busy()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await refused;
    asked[0]?.resolve({ publicParts: [], attestationClass: 'test' });
    await expect.poll(() => asked.map(({ call, args }) => [call, args[0]])).toEqual([['generate', KID], ['erase', { kid: KID }]]);
  });
});

describe('a backend that is gone', () => {
  test('is left alone after three calls that say so, until a probe is answered, and each wait for one is longer', async () => {
    const { guard, asked, events, sign, pass } = open();
    const gone = async (): Promise<string> => {
      const outcome = sign();
      asked.at(-1)?.reject(new BackendGone('no device'));
      return outcome;
    };
    expect([await gone(), guard.isReady(), await gone(), guard.isReady(), await gone(), guard.isReady()]).toEqual(['StoreUnavailable 1', true, 'StoreUnavailable 1', true, 'StoreUnavailable 1', false]);
    const before = asked.length;
    expect(await sign()).toBe('StoreUnavailable 1');
    expect(() => guard.require()).toThrow();
    expect(asked.length).toBe(before);

    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      let waitedMs = 0;
      for (const probes = asked.length; asked.length === probes; waitedMs += 100) {
        pass(100);
        const ticking = guard.tick();
        if (asked.length > probes) asked.at(-1)?.reject(new BackendGone('still not'));
        await ticking;
      }
      waits.push(waitedMs);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000]);
    await guard.tick();
    expect(await sign()).toBe('StoreUnavailable 8');
    expect(guard.outForMs()).toBe(7500);

    pass(8000);
    const ticking = guard.tick();
    asked.at(-1)?.resolve(undefined);
    await ticking;
    expect([guard.isReady(), guard.reconnects()]).toEqual([true, 1]);
    // Well, and asked once more: it is not back again.
    const asking = guard.tick();
    asked.at(-1)?.resolve(undefined);
    await asking;
    expect([guard.isReady(), guard.outForMs(), guard.reconnects(), guard.busy()]).toEqual([true, undefined, 1, 0]);
    const outcome = sign();
    asked.at(-1)?.resolve([]);
    expect(await outcome).toBe('ok');
    expect(events).toEqual(['backend_out', 'backend_back']);
  });

  test('a fault of one key says nothing of the backend, and being slow only of one outside this process', async () => {
    const { guard, asked, sign } = open();
    for (let i = 0; i < 5; i++) {
      const outcome = sign();
      asked.at(-1)?.reject(new KmsError('KeyState'));
      expect(await outcome).toMatch(/^KeyState/);
    }
    expect([guard.isReady(), guard.busy()]).toEqual([true, 0]);
    for (const hasProbe of [false, true]) {
      const { guard: slow, sign: signSlowly } = open({ hasProbe });
      const outcomes = Promise.all([signSlowly(), signSlowly(), signSlowly(), signSlowly()]);
      await vi.advanceTimersByTimeAsync(2000);
      expect(await outcomes).toEqual(Array.from({ length: 4 }, () => 'Timeout 1'));
      expect(slow.isReady()).toBe(!hasProbe);
    }
  });
});
