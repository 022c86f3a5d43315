import type { EvidenceConfig } from '../../src/service/evidence.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import type { Claim } from '../../src/ports/log-signer.ts';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { createEvidence } from '../../src/service/evidence.ts';

const CONFIG: EvidenceConfig = { given: new Set(['tpm-sealed']), accepted: new Set(['tpm-sealed']), isRequired: true };
const VERSION: VersionRecord = { version: 1, kid: 'core/a/ed25519/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1', kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'tpm-sealed', publicParts: [] };
const REQUIRED = { isEvidenceRequired: true, isEvidenceOffered: true };

afterEach(() => { vi.useRealTimers(); });

test('a device that never answers is waited for three seconds, and behind that nobody waits for it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let asked = 0;
  const evidence = createEvidence({
    attest: () => {
      asked++;
      return new Promise<Buffer>(() => undefined);
    },
    standing: () => ({ tree_size: 0 }), clock: systemClock, random: createSystemRandom(), telemetry: { attested: () => undefined, event: () => undefined }, config: () => CONFIG,
  });
  const sign = () => evidence.forSigning(VERSION, Buffer.alloc(32), { isAsked: false, decision: REQUIRED });
  const refused = expect(sign()).rejects.toMatchObject({ code: 'AttestationMissing' });
  await vi.advanceTimersByTimeAsync(3000);
  await refused;
  expect([asked, evidence.isReady()]).toEqual([1, false]);
  await expect(sign()).rejects.toMatchObject({ code: 'AttestationMissing' });
  expect(asked).toBe(1);
});

/** A device that answers as the test says, and a clock that the test moves. */
function open(config: Partial<EvidenceConfig> = {}) {
  const asked: { readonly claim: Claim; readonly answer: () => void; readonly fail: () => void }[] = [];
  const told: string[] = [];
  let nowNs = 0n;
  const evidence = createEvidence({
    attest: (claim) => new Promise((resolve, reject) => {
      asked.push({ claim, answer: () => resolve(Buffer.from(String(asked.length))), fail: () => reject(new Error('unplugged')) });
    }),
    standing: () => ({ tree_size: 7 }), random: createSystemRandom(), clock: { ...systemClock, monotonicNs: () => nowNs },
    telemetry: { attested: (outcome) => { told.push(outcome); }, event: (_level, event) => { told.push(event); } },
    config: () => ({ ...CONFIG, ...config }),
  });
  const sign = (how: { readonly digest?: Buffer; readonly version?: VersionRecord; readonly isAsked?: boolean; readonly decision?: typeof REQUIRED } = {}) =>
    evidence.forSigning(how.version ?? VERSION, how.digest ?? Buffer.alloc(32), { isAsked: how.isAsked ?? false, decision: how.decision ?? REQUIRED });
  /** Of one call that makes the device work. */
  const signed = async (how?: Parameters<typeof sign>[0]): Promise<string | undefined> => {
    const before = asked.length;
    const signing = sign(how);
    if (asked.length > before) asked.at(-1)?.answer();
    return (await signing)?.evidence.toString();
  };
  return { evidence, asked, told, sign, signed, pass: (ms: number) => { nowNs += BigInt(ms) * 1_000_000n; } };
}

const OFFERED = { isEvidenceRequired: false, isEvidenceOffered: true };

describe('where evidence is required', () => {
  test('the signatures of a session share it: it is renewed in time behind their back, and never older than a minute', async () => {
    const { asked, signed, pass } = open();
    expect([await signed(), await signed()]).toEqual(['1', '1']);
    pass(40_000);
    expect([await signed(), asked.length]).toEqual(['1', 1]);
    pass(1);
    // Good still, and the next one is made.
    const late = signed();
    expect([await late, asked.length]).toEqual(['1', 2]);
    await expect.poll(() => signed()).toBe('2');
    pass(60_001);
    expect([await signed(), asked.length]).toEqual(['3', 3]);
  });

  test('those who come at once wait for one and the same; another version has its own', async () => {
    const { asked, sign, signed } = open();
    const both = [sign(), sign()];
    expect(asked).toHaveLength(1);
    asked[0]?.answer();
    expect((await Promise.all(both)).map((one) => one?.evidence.toString())).toEqual(['1', '1']);
    expect(await signed({ version: { ...VERSION, version: 2, kid: VERSION.kid.replace('#v1', '#v2') } })).toBe('2');
  });

  test('of thousands of versions the one that was asked about first is forgotten', async () => {
    const { asked, signed } = open();
    const versions = Array.from({ length: 4097 }, (_, i) => ({ ...VERSION, kid: `${VERSION.kid}${i}` }));
    for (const version of versions) await signed({ version });
    await signed({ version: versions[1] as VersionRecord });
    expect(asked).toHaveLength(4097);
    await signed({ version: versions[0] as VersionRecord });
    expect(asked).toHaveLength(4098);
  });

  test('a version of another class does not sign, nor one of a class that is not good enough', async () => {
    for (const [config, hint] of [[{ given: new Set(['other']) }, 'there is none of how this version is held'], [{ accepted: new Set(['other']) }, 'security.attest_classes does not list tpm-sealed']] as const) {
      const { asked, told, sign } = open(config);
      const signing = sign();
      expect(asked).toHaveLength(0);
      await expect(signing).rejects.toMatchObject({ code: 'AttestationMissing', hint: expect.stringContaining(hint) });
      expect(told).toEqual(['missing']);
    }
  });
});

describe('evidence that is asked for', () => {
  test('is fresh each time, and says what is signed, by which key, and how the log stands', async () => {
    const { asked, told, signed } = open();
    const [one, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    expect([await signed({ isAsked: true, digest: one }), await signed({ isAsked: true, digest: other })]).toEqual(['1', '2']);
    expect(asked.map(({ claim }) => claim.nonce_b64)).toEqual([one.toString('base64'), other.toString('base64')]);
    expect(asked[0]?.claim).toMatchObject({ class: 'tpm-sealed', tree_size: 7, subject: { kid: VERSION.kid } });
    expect(told).toEqual(['ok', 'ok']);
  });

  test('of sixteen at once is enough for a device: the next is told to come again, until one is done', async () => {
    const { asked, sign, signed } = open();
    const all = Array.from({ length: 16 }, () => sign({ isAsked: true }));
    for (const decision of [REQUIRED, OFFERED]) await expect(sign({ isAsked: true, decision })).rejects.toMatchObject({ code: 'Backpressure' });
    for (const { answer } of asked) answer();
    await Promise.all(all);
    expect(await signed({ isAsked: true })).toBe('17');
  });

  test('and not to be had is left out where it is not required; where it is not offered the device is not asked', async () => {
    const { asked, told, sign } = open();
    expect(await sign({ decision: OFFERED })).toBeUndefined();
    expect(await sign({ isAsked: true, decision: { isEvidenceRequired: false, isEvidenceOffered: false } })).toBeUndefined();
    expect([asked.length, told]).toEqual([0, []]);
    const signing = sign({ isAsked: true, decision: OFFERED });
    asked[0]?.fail();
    expect(await signing).toBeUndefined();
    expect(told).toEqual(['evidence_missing', 'missing']);
  });
});

describe('a device that fails', () => {
  test('is left alone for a second, then asked again; its way out and back is told once', async () => {
    const { evidence, asked, told, sign, signed, pass } = open();
    const signing = sign();
    asked[0]?.fail();
    await expect(signing).rejects.toMatchObject({ code: 'AttestationMissing' });
    expect(evidence.isReady()).toBe(false);
    pass(999);
    await expect(sign()).rejects.toMatchObject({ code: 'AttestationMissing' });
    expect(asked).toHaveLength(1);
    pass(1);
    const again = sign();
    asked[1]?.fail();
    await expect(again).rejects.toMatchObject({ code: 'AttestationMissing' });
    pass(1000);
    expect(await signed()).toBe('3');
    expect(evidence.isReady()).toBe(true);
    expect(told).toEqual(['evidence_missing', 'missing', 'missing', 'missing', 'evidence_back', 'ok']);
  });

  test('is noticed without anybody signing, and so is that it is back', async () => {
    const { evidence, asked, pass } = open();
    const tick = async (end: 'answer' | 'fail'): Promise<boolean> => {
      const before = asked.length;
      const ticking = evidence.tick();
      if (asked.length > before) asked.at(-1)?.[end]();
      await ticking;
      return asked.length > before;
    };
    expect([await tick('answer'), evidence.isReady(), await tick('answer')]).toEqual([true, true, false]);
    expect(asked[0]?.claim).toMatchObject({ class: 'self-check', subject: { log_keys: [] }, tree_size: 7 });
    pass(19_999);
    expect(await tick('fail')).toBe(false);
    pass(1);
    expect([await tick('fail'), evidence.isReady(), await tick('answer')]).toEqual([true, false, false]);
    pass(999);
    expect(await tick('answer')).toBe(false);
    pass(1);
    expect([await tick('answer'), evidence.isReady()]).toEqual([true, true]);
  });

  test('is not asked where no evidence is required, or no device gives any, which is never ready', async () => {
    for (const config of [{ isRequired: false }, { given: new Set<string>() }]) {
      const { evidence, asked } = open(config);
      await evidence.tick();
      expect(asked).toHaveLength(0);
      expect(evidence.isReady()).toBe('isRequired' in config);
    }
  });
});
