import type { Scheduler } from 'fast-check';
import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { Wired } from '../harness/wired.ts';
import { array, assert, asyncProperty, constantFrom, scheduler } from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseKid } from '../../src/core/key/kid.ts';
import { callerOf } from '../harness/caller.ts';
import { driven } from '../harness/driven.ts';
import { entriesFrom } from '../harness/entries.ts';
import { createKey } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

/** Signatures, and entries on their way to the log, are handed out in the order that the scheduler of the moment chooses. */
const chosen: { order: Scheduler | undefined } = { order: undefined };
const inTurn = <T>(what: string, value: Promise<T> | T): Promise<T> => chosen.order?.schedule(Promise.resolve(value), what) ?? Promise.resolve(value);

function scheduled({ signatures, ...rest }: Primitives): Primitives {
  const ordered = Object.entries(signatures).map(([name, primitive]) => [name, {
    ...primitive,
    signerFromSeed(seed: Buffer) {
      const signer = primitive.signerFromSeed(seed);
      return { ...signer, sign: (message: Buffer, context: Buffer) => inTurn('signature', signer.sign(message, context)) };
    },
  }]);
  return { ...rest, signatures: Object.fromEntries(ordered) as Primitives['signatures'] };
}

let wired: Wired;
beforeAll(async () => {
  wired = await startWired({ watch: scheduled });
  const { append } = wired.audit;
  wired.audit.append = (events, options) => inTurn('entry', append(events, options));
});
afterAll(() => wired.stop());

const DIGEST = 'ab'.repeat(32);
const versionOf = (kid: string): number => Number(kid.split('#v')[1]);

test('rotate against sign, in any order: versions only go up, each announced once, and nothing is signed under one that was not', { timeout: 60_000 }, async () => {
  await assert(asyncProperty(scheduler(), array(constantFrom('sign', 'rotate'), { minLength: 2, maxLength: 12 }), async (order, steps) => {
    const made = (await createKey(wired, { alg: 'ed25519' }))['kid'] as string;
    const kid = parseKid(made.split('#')[0] ?? '');
    if (kid === undefined) throw new Error('a key has a kid');
    const caller = callerOf();
    const announced = new Set([1]);
    const signedUnder: number[] = [];
    const before = wired.audit.size();
    chosen.order = order;
    try {
      await driven(order, Promise.all(steps.map(async (step) => {
        if (step === 'rotate') {
          const { kid: next, previous } = await wired.operations.rotate(caller, { kid, opId: undefined, body: {} });
          expect(versionOf(next)).toBe(versionOf(previous) + 1);
          expect(announced.has(versionOf(next))).toBe(false);
          announced.add(versionOf(next));
        } else {
          const { kid: under } = await wired.operations.sign(caller, undefined, { kid, payload: { digestHex: DIGEST }, context: undefined, produceHybrid: undefined, isEvidenceAsked: false });
          signedUnder.push(versionOf(under));
        }
      })));
    } finally {
      chosen.order = undefined;
    }
    const rotations = steps.filter((step) => step === 'rotate').length;
    expect([...announced].toSorted((a, b) => a - b)).toEqual(Array.from({ length: rotations + 1 }, (_, i) => i + 1));
    for (const version of signedUnder) expect(announced).toContain(version);

    // So it stands in the log, too: a version is made before anything is signed under it, and they are made in their order.
    const entries = (await entriesFrom(wired.audit, before)).filter(({ result }) => result === 'ok');
    let highest = 1;
    for (const { op, kid: of } of entries) {
      if (op === 'rotate') expect(versionOf(String(of))).toBe(++highest);
      if (op === 'sign') expect(versionOf(String(of))).toBeLessThanOrEqual(highest);
    }
    expect(entries.filter(({ op }) => op === 'sign').length).toBe(signedUnder.length);
  }), { numRuns: 60 });
});
