import type { Envelope } from '../../src/core/envelope/envelope.ts';
import type { Custody } from '../../src/ports/custody.ts';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { specOf } from '../../src/core/algorithm/table.ts';
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
  let nowNs = 0n;
  const guard = guardCustody({
    custody, chance: () => 0, clock: { ...systemClock, monotonicNs: () => nowNs },
    telemetry: { event: (_level, event) => { events.push(event); } },
  });
  const sign = (): Promise<string> => guard.sign(VERSION, [], NOTHING, NOTHING).then(() => 'ok', (fault: { code: string; retryAfterS?: number }) => `${fault.code} ${fault.retryAfterS}`);
  return { guard, asked, events, sign, pass: (ms: number) => { nowNs += BigInt(ms) * 1_000_000n; } };
}

describe('what comes behind its deadline is nobody\'s', () => {
  test('a plaintext is overwritten', async () => {
    const { guard, asked } = open();
    const envelope = { kid: undefined } as unknown as Envelope;
    await expect(guard.open(VERSION, SPEC, envelope, NOTHING)).rejects.toMatchObject({ code: 'Timeout', status: 504 });
    const plaintext = Buffer.alloc(32, 7);
    expect(guard.busy()).toBe(1);
    asked[0]?.resolve(plaintext);
    await expect.poll(() => guard.busy()).toBe(0);
    expect(plaintext).toEqual(Buffer.alloc(32));
  });

  test('a key that was made is erased', { timeout: 10_000 }, async () => {
    const { guard, asked } = open();
    await expect(guard.generate(KID, SPEC)).rejects.toMatchObject({ code: 'Timeout' });
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
    expect(guard.outForMs()).toBeGreaterThanOrEqual(7500);

    pass(8000);
    const ticking = guard.tick();
    asked.at(-1)?.resolve(undefined);
    await ticking;
    expect([guard.isReady(), guard.outForMs(), guard.reconnects()]).toEqual([true, undefined, 1]);
    const outcome = sign();
    asked.at(-1)?.resolve([]);
    expect(await outcome).toBe('ok');
    expect(events).toEqual(['backend_out', 'backend_back']);
  });

  test('a fault of one key says nothing of the backend, and one in this process is never out for being slow', { timeout: 10_000 }, async () => {
    const { guard, asked, sign } = open();
    for (let i = 0; i < 5; i++) {
      const outcome = sign();
      asked.at(-1)?.reject(Object.assign(new Error('of this key'), { code: 'KeyFault' }));
      expect(await outcome).toMatch(/^KeyFault/);
    }
    expect(guard.isReady()).toBe(true);
    const own = open({ hasProbe: false });
    expect(await Promise.all([own.sign(), own.sign(), own.sign(), own.sign()])).toEqual(Array.from({ length: 4 }, () => 'Timeout 1'));
    expect(own.guard.isReady()).toBe(true);
  });
});
