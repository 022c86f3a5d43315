import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Primitives } from '../../src/adapters/crypto/public-keys.ts';
import type { Custody } from '../../src/ports/custody.ts';
import type { Wired } from '../harness/wired.ts';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createInmemCustody } from '../../src/adapters/custody-inmem/custody.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
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

/** The same of what was opened. */
function slowToOpen(): Custody {
  const memory = createLockedMemory();
  const publicKeys = createPublicKeyCache(1);
  const custody = createInmemCustody({ memory, primitives: { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys }), kems: createKemPrimitives(publicKeys) } });
  return {
    ...custody,
    async open(...args) {
      const opened = await custody.open(...args);
      gate.waiting++;
      await gate.isOpen;
      gate.waiting--;
      return opened;
    },
  };
}

let wired: Wired;
let opening: Wired;
beforeAll(async () => { [wired, opening] = await Promise.all([startWired({ watch: slow }), startWired({ custody: slowToOpen() })]); });
afterAll(() => Promise.all([wired.stop(), opening.stop()]));
// Each test is a second of its own.
beforeEach(() => Promise.all([wired.operations.close(), opening.operations.close()]));

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

describe('what is under way while the state of a version changes', () => {
  test.each([['/unwrap', '#v1'], ['/rewrap', '#v1'], ['/rewrap', '#v2']] as const)('%s, as %s is disabled: it gives nothing, and its entry says so behind the change', async (path, version) => {
    const base = ((await createKey(opening, { alg: 'aes-256-gcm' }))['kid'] as string).split('#')[0] ?? '';
    const { body: { wrapped_b64 } } = await call(opening, 'POST', '/wrap', { kid: base, size: 32 });
    await call(opening, 'POST', `/keys/${encodeURIComponent(base)}/rotate`, {});
    const { promise, resolve } = Promise.withResolvers<void>();
    gate.isOpen = promise;
    const entries = await entriesOf(opening, async () => {
      const calling = call(opening, 'POST', path, { wrapped_b64 });
      await eventually('it is opened', 2000, () => gate.waiting === 1);
      expect((await call(opening, 'POST', `/keys/${encodeURIComponent(base + version)}/disable`, {})).status).toBe(200);
      resolve();
      const { status, body } = await calling;
      expect([status, Object.keys(body), body['error']?.code]).toEqual([409, ['error'], 'KeyState']);
    });
    expect(entries.map(({ op, result }) => [op, result])).toEqual([['disable', 'intent'], ['disable', 'ok'], [path.slice(1), 'KeyState']]);
  });
});
