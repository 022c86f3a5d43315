import type { Handle, PKCS11 } from 'pkcs11js';
import type { TokenDevice } from '../../src/adapters/custody-pkcs11/device.ts';
import type { TokenCalls } from '../../src/adapters/custody-pkcs11/protocol.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import type { FuzzTarget } from './engine.ts';
import assert from 'node:assert';
import { deserialize, serialize } from 'node:v8';
import { createKemPrimitives } from '../../src/adapters/crypto/kems.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { isValueOf, readMessage } from '../../src/adapters/custody-pkcs11/answers.ts';
import { createTokenLogDevice } from '../../src/adapters/custody-pkcs11/attestor.ts';
import { createPkcs11Custody } from '../../src/adapters/custody-pkcs11/custody.ts';
import { kindOf } from '../../src/adapters/custody-pkcs11/faults.ts';
import { createSessions } from '../../src/adapters/custody-pkcs11/sessions.ts';
import { callsOver } from '../../src/adapters/custody-pkcs11/token.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { aeads, specOf } from '../../src/core/algorithm/table.ts';
import { KmsError } from '../../src/core/errors.ts';
import { BackendGone } from '../../src/ports/custody.ts';

const CALLS = ['probe', 'makeEd25519', 'makeX25519', 'makeAes256', 'sign', 'derive', 'encrypt', 'decrypt', 'destroy', 'haveOwnKeys', 'attributesOf', 'facts', 'readData', 'writeData'] as const satisfies readonly (keyof TokenCalls)[];
const CODES = [0x05, 0x06, 0x07, 0x13, 0x30, 0x40, 0x60, 0x70, 0x82, 0xb3, 0xe0, 0x101] as const;
const HANDLE: Handle = Buffer.alloc(8);
const NOTHING = Buffer.alloc(0);
const MESSAGE = Buffer.from('message');
const memory = createLockedMemory();
const cache = createPublicKeyCache(8);
const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: cache }), kems: createKemPrimitives(cache) };

/** A vendor's module that answers as the bytes say; behind their end, as it should. */
function moduleOf(bytes: Buffer): PKCS11 {
  let at = 0;
  const next = (): number => bytes[at++] ?? 0;
  const refuse = (): never => {
    const code = CODES[next() % CODES.length] ?? 0;
    throw next() % 2 === 0 ? Object.assign(new Error('CKR'), { code }) : new Error(`CKR_SOMETHING:${code}`);
  };
  const orRefuse = <T>(value: T): T => (next() === 1 ? refuse() : value);
  const some = (length: number): Buffer | undefined => {
    const kind = next();
    if (kind === 1) return refuse();
    if (kind === 2) return NOTHING;
    if (kind === 3) return Buffer.alloc(next(), next());
    if (kind === 4) return undefined;
    if (kind === 5) return Buffer.alloc(length);
    return kind === 6 ? Buffer.concat([Buffer.of(0x04, length), Buffer.alloc(length, 9)]) : Buffer.alloc(length, 9);
  };
  const text = (): string => bytes.toString('latin1', at, at += next());
  const nothing = (): void => orRefuse(undefined);
  const inPlace = async (_session: Handle, _data: Buffer, into: Buffer): Promise<Buffer | undefined> => some(into.length);
  return {
    C_FindObjectsInit: nothing, C_FindObjectsFinal: nothing, C_DestroyObject: nothing, C_SignInit: nothing, C_EncryptInit: nothing, C_DecryptInit: nothing,
    C_FindObjects: () => orRefuse(Array.from({ length: (next() + 1) % 4 }, () => HANDLE)),
    C_GenerateKeyPair: () => orRefuse({ publicKey: HANDLE, privateKey: HANDLE }),
    C_GenerateKey: () => orRefuse(HANDLE), C_CreateObject: () => orRefuse(HANDLE), C_DeriveKeyAsync: async () => orRefuse(HANDLE),
    C_GetAttributeValue: (_session: Handle, _object: Handle, asked: readonly object[]) => asked.map((one) => ({ ...one, value: some(asked.length === 1 ? 32 : 1) })),
    C_SignAsync: inPlace, C_EncryptAsync: inPlace,
    C_DecryptAsync: (session: Handle, data: Buffer, into: Buffer) => inPlace(session, data, into.subarray(16)),
    C_GetTokenInfo: () => orRefuse({ label: text(), manufacturerID: text(), model: text(), serialNumber: text(), firmwareVersion: next() === 2 ? undefined : { major: next(), minor: next() } }),
    C_GetSlotInfo: () => orRefuse({ slotDescription: text() }),
    C_GetMechanismList: () => orRefuse([next()]),
  } as unknown as PKCS11;
}

/** A token over that module, as the service has it: what comes is held against what may come. */
function deviceOf(module: PKCS11, isValue: typeof isValueOf): TokenDevice {
  const inside = callsOver(module, HANDLE, createSessions([HANDLE]));
  const ask = async (call: keyof TokenCalls, args: readonly unknown[]): Promise<unknown> => {
    let value: unknown;
    try {
      value = await (inside[call] as (...given: readonly unknown[]) => Promise<unknown>)(...args);
    } catch (fault) {
      throw kindOf(fault) === 'gone' ? new BackendGone('') : new KmsError('StoreUnavailable');
    }
    const told: unknown = deserialize(serialize(value));
    if (!isValue({ call, args }, told)) throw new KmsError('StoreUnavailable');
    return told;
  };
  const calls = Object.fromEntries(CALLS.map((call) => [call, (...args: readonly unknown[]) => ask(call, args)])) as unknown as TokenCalls;
  return { ...calls, reviving: calls, close: async () => undefined };
}

const KID = { ed25519: 'core/audit/ed25519/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1', x25519: 'core/kem/x25519/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1', aes: 'core/kem/aes-256-gcm/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1' };
const [ed25519, x25519, aes] = [specOf('ed25519', undefined), specOf('x25519', undefined), specOf('aes-256-gcm', undefined)];
const AES = aeads['AES-256-GCM'];
const versionOf = (kid: string): VersionRecord => ({ version: 1, kid, kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'pkcs11', publicParts: [{ alg: 'x25519', bytes: Buffer.alloc(32, 9) }] });
const envelopeOf = (enc: Buffer) => ({ header: Buffer.from('header'), enc, ciphertext: Buffer.alloc(48), aead: AES }) as never;

/** What is done with a token, and what has to be so behind it. The first byte of an input says which. */
const uses: readonly ((token: TokenDevice) => Promise<void>)[] = [
  async (token) => {
    const { publicParts } = await custodyOf(token).generate(KID.ed25519, ed25519);
    assert.deepStrictEqual(publicParts.map(({ bytes }) => bytes.length), [32], 'a public key of 32 bytes');
  },
  async (token) => {
    const { publicParts } = await custodyOf(token).generate(KID.x25519, x25519);
    assert.deepStrictEqual(publicParts.map(({ bytes }) => bytes.length), [32], 'a public key of 32 bytes');
  },
  async (token) => { await custodyOf(token).generate(KID.aes, aes); },
  async (token) => {
    const signatures = await custodyOf(token).sign(versionOf(KID.ed25519), ed25519.kind === 'signature' ? ed25519.schemes : [], MESSAGE, NOTHING);
    assert.deepStrictEqual(signatures.map(({ length }) => length), [64], 'a signature of 64 bytes');
  },
  async (token) => {
    const sealed = await custodyOf(token).sealAead(versionOf(KID.aes), AES, Buffer.alloc(12), NOTHING, MESSAGE);
    assert.strictEqual(sealed.length, MESSAGE.length + 16, 'ciphertext and tag');
  },
  async (token) => {
    const opened = await custodyOf(token).open(versionOf(KID.aes), aes, envelopeOf(Buffer.alloc(12)), NOTHING);
    assert.ok(opened === undefined || opened.length === 32, 'what was sealed, or nothing');
  },
  async (token) => { assert.strictEqual(await custodyOf(token).open(versionOf(KID.x25519), x25519, envelopeOf(Buffer.alloc(32, 9)), NOTHING), undefined); },
  async (token) => { await custodyOf(token).erase({ kid: KID.aes }); },
  async (token) => {
    const { token: facts, objects } = await createTokenLogDevice(token).attestor.describe({ kid: KID.ed25519, attestationClass: 'pkcs11' }) as { token: object; objects: object };
    assert.ok(Object.values(facts).every((fact) => typeof fact === 'string'), 'facts are texts');
    assert.ok(Object.values(objects).flatMap((object) => Object.values(object as object)).every((is) => typeof is === 'boolean'), 'attributes are yes or no');
  },
  async (token) => { await token.haveOwnKeys(true); },
  async (token) => { assert.ok((await token.readData('x')).every((one) => one instanceof Uint8Array), 'data are bytes'); },
  async (token) => { await token.writeData('x', MESSAGE); },
];

function custodyOf(token: TokenDevice) {
  return createPkcs11Custody({ token, cacheKeysMax: 1, primitives, memory });
}

/** What a vendor's module answers. `isValue` may believe all of it. */
export function pkcs11ModuleTarget(isValue: typeof isValueOf = isValueOf): FuzzTarget {
  return {
    name: 'pkcs11-module', seeds: uses.map((_use, i) => Buffer.from([i, 0, 0, 0, 0])), words: ['\u0003\u0020', '\u0006', '\u0001\u0005'],
    async run(input) {
      const use = uses[(input[0] ?? 0) % uses.length];
      try {
        await use?.(deviceOf(moduleOf(input.subarray(1)), isValue));
      } catch (fault) {
        if (!(fault instanceof BackendGone) && !(fault instanceof KmsError && fault.code !== 'Internal')) throw fault;
      }
    },
  };
}

/** What its process says over IPC, as structured clones. */
export function pkcs11ProcessTarget(read: typeof readMessage = readMessage): FuzzTarget {
  const answers = [
    { id: 1, value: undefined }, { id: 2, value: Buffer.alloc(32, 1) }, { id: 3, value: Buffer.alloc(64, 1) }, { id: 4, fault: 'held', why: 'none' },
    { id: 5, value: { token: true, private: true, sensitive: true, always_sensitive: true, extractable: false, never_extractable: true, local: true } },
    { id: 6, value: { label: 'l', manufacturer: 'm', model: 'm', serial: 's', firmware: '1.0', slot: 's', mechanisms: [1, 2] } }, { id: 7, value: [Buffer.from('data')] },
  ];
  return {
    name: 'pkcs11-process', words: ['"\u0007answers', '"\u0005value', '"\u0005fault', '"\u0004gone'],
    seeds: [{ opened: true }, { refused: 'no' }, ...answers.map((answer) => ({ answers: [answer] })), { answers }].map((message) => serialize(message)),
    run(input) {
      let message: unknown;
      try {
        message = deserialize(input);
      } catch {
        return;
      }
      const told = read(message);
      if (told === undefined || !('answers' in told)) return;
      for (const answer of told.answers) {
        assert.ok(Number.isSafeInteger(answer.id), 'an answer has the number of its question');
        if (!('value' in answer)) {
          assert.ok(['gone', 'held', 'failed'].includes(answer.fault) && typeof answer.why === 'string', 'a fault is of a kind, and has words');
          continue;
        }
        for (const call of CALLS) isValueOf({ call, args: ['label', NOTHING, NOTHING, Buffer.alloc(16)] }, answer.value);
      }
    },
  };
}
