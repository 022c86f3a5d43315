import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { Wired } from '../harness/wired.ts';
import { entriesOf } from '../harness/entries.ts';
import { eventually } from '../harness/poll.ts';
import { call, createKey } from '../harness/service.ts';
import { startWired } from '../harness/wired.ts';

const DIGEST = 'ab'.repeat(32);

/** While it is closed, signatures are made and not handed out. */
const gate = { isOpen: Promise.resolve(), waiting: 0 };
function slow({ signatures, ...rest }: Primitives): Primitives {
  const slowed = Object.entries(signatures).map(([name, primitive]) => [name, {
    ...primitive,
    signerFromSeed(seed: Buffer) {
      const signer = primitive.signerFromSeed(seed);
      return {
        ...signer,
        async sign(message: Buffer, context: Buffer) {
          const signature = await signer.sign(message, context);
          gate.waiting++;
          await gate.isOpen;
          gate.waiting--;
          return signature;
        },
      };
    },
  }]);
  return { ...rest, signatures: Object.fromEntries(slowed) as Primitives['signatures'] };
}

let wired: Wired;
beforeAll(async () => { wired = await startWired({ watch: slow }); });
afterAll(() => wired.stop());
// Each test is a second of its own.
beforeEach(() => wired.operations.close());

describe('a signature under way while the state of its key changes', () => {
  test.each([['disable', 'KeyState', ''], ['destroy', 'KeyState', ''], ['disable', 'KeyState', '#v1'], ['rotate', undefined, '']] as const)('%s: %s %s', async (change, code, version) => {
    const base = ((await createKey(wired, { alg: 'ed25519' }))['kid'] as string).split('#')[0] ?? '';
    const { promise, resolve } = Promise.withResolvers<void>();
    gate.isOpen = promise;
    const entries = await entriesOf(wired, async () => {
      const signing = call(wired, 'POST', '/sign', { kid: `${base}#v1`, payload_b3: DIGEST });
      await eventually('the signature is made', 2000, () => gate.waiting === 1);
      expect((await call(wired, 'POST', `/keys/${encodeURIComponent(base + version)}/${change}`, {})).status).toBe(200);
      resolve();
      const { body } = await signing;
      expect(body['error']?.code).toBe(code);
      if (code !== undefined) expect(Object.keys(body)).toEqual(['error']);
    });
    expect(entries.map(({ op, result }) => [op, result])).toEqual([[change, 'intent'], [change, 'ok'], ['sign', code ?? 'ok']]);
  });
});
