import type { TokenDevice } from '../../src/adapters/custody-pkcs11/device.ts';
import type { VersionRecord } from '../../src/core/key/record.ts';
import { expect, test } from 'vitest';
import { createStandby } from '../../src/adapters/custody-pkcs11/standby.ts';

const STAYING = { token: true, private: true, sensitive: true, always_sensitive: true, extractable: false, never_extractable: true, local: true };
const VERSION: VersionRecord = { version: 1, kid: 'core/a/ed25519/01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b#v1', kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'pkcs11', publicParts: [{ alg: 'ed25519', bytes: Buffer.alloc(32) }] };

/** A token that holds the key, and says this of it. */
const signedBy = async (attributes: typeof STAYING | undefined): Promise<Buffer> => {
  const token = { reviving: { attributesOf: async () => attributes, sign: async () => new Uint8Array(64) } } as unknown as TokenDevice;
  return (await createStandby({ open: async () => token, verify: () => true })).sign(VERSION, Buffer.from('message'));
};

test('a standby signs by a key that its token says never leaves it', async () => {
  expect(await signedBy(STAYING)).toHaveLength(64);
});

test.each([
  ['is not there', undefined], ['is extractable', { ...STAYING, extractable: true }], ['once was', { ...STAYING, never_extractable: false }], ['is not sensitive', { ...STAYING, sensitive: false }],
  ['once was not', { ...STAYING, always_sensitive: false }], ['was put in from outside', { ...STAYING, local: false }], ['is of a session', { ...STAYING, token: false }],
])('the same key is of another class, and signs nothing, where it %s', async (_what, attributes) => {
  await expect(signedBy(attributes)).rejects.toMatchObject({ code: 'StoreUnavailable' });
});
