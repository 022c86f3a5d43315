import { scrypt } from '@noble/hashes/scrypt.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import canonicalize from 'canonicalize';
import { afterAll, describe, expect, test } from 'vitest';
import { openKeychain } from '../../src/adapters/root-key/keychain.ts';
import { passphraseOf } from '../../src/adapters/root-key/passphrase.ts';
import { makeRootKey, openRootKey, sealRootKey } from '../../src/adapters/root-key/root-key.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { REVEAL } from '../../src/core/reveal.ts';
import type { Secret } from '../../src/core/secret.ts';

const INSTANCE = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';
const WORDS = 'otter lantern quartz meadow';
const memory = createLockedMemory();
const directory = mkdtempSync(join(tmpdir(), 'ron-kms-keychain-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Kdf = 'argon2id' | 'scrypt';
const opener = (kdf?: Kdf, words = WORDS) => ({ seal: 'passphrase', secret: passphraseOf(Buffer.from(words)), ...(kdf && { kdf }) } as const);

let count = 0;
async function fileWith(rootKey: Secret, kdf: Kdf): Promise<string> {
  const path = join(directory, `root-key-${++count}.json`);
  writeFileSync(path, await sealRootKey(rootKey, INSTANCE, opener(kdf), memory));
  return path;
}

describe('a root key under scrypt', () => {
  test('opens for an implementation that is not ours, from what the file says', async () => {
    const rootKey = makeRootKey(memory);
    const { nonce_b64: nonce, sealed_b64: sealed, ...header } = JSON.parse(readFileSync(await fileWith(rootKey, 'scrypt'), 'utf8')) as Record<string, any>;
    expect(header['kdf']).toMatchObject({ alg: 'scrypt', n: 131_072, r: 8, p: 1 });
    const key = scrypt(WORDS, Buffer.from(header['kdf'].salt_b64, 'base64'), { N: 131_072, r: 8, p: 1, dkLen: 32 });
    const aad = Buffer.from(`ron-kms/root-key/v1\n${canonicalize(header)}`);
    expect(Buffer.from(chacha20poly1305(key, Buffer.from(nonce, 'base64'), aad).decrypt(Buffer.from(sealed, 'base64')))).toEqual(rootKey.read(REVEAL));
  }, 60_000);

  test('does not open with another passphrase, nor with parameters that cost less or more than a machine has', async () => {
    const path = await fileWith(makeRootKey(memory), 'scrypt');
    await expect(openRootKey(readFileSync(path), INSTANCE, opener(undefined, `${WORDS}s`), memory)).rejects.toThrow(/wrong passphrase/);
    for (const [name, value] of [['n', 65_536], ['n', 131_073], ['n', 2 ** 30], ['r', 1], ['r', 64], ['p', 0], ['p', 1e6], ['alg', 'argon2id'], ['salt_b64', 'AAAA']] as const) {
      const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, any>;
      file['kdf'][name] = value;
      await expect(openRootKey(Buffer.from(JSON.stringify(file)), INSTANCE, opener(), memory), name).rejects.toThrow(/not a root key of this version/);
    }
  });
});

describe('the keychain', () => {
  test('seals the root key anew when another way to stretch the passphrase is wanted, and not otherwise', async () => {
    const rootKey = makeRootKey(memory);
    const path = await fileWith(rootKey, 'argon2id');
    const before = readFileSync(path, 'utf8');
    for (const unchanged of [undefined, 'argon2id'] as const) {
      (await openKeychain({ path, instanceId: INSTANCE, opener: opener(unchanged), memory })).destroy();
      expect(readFileSync(path, 'utf8')).toBe(before);
    }
    const keychain = await openKeychain({ path, instanceId: INSTANCE, opener: opener('scrypt'), memory });
    expect(readFileSync(path, 'utf8')).toContain('"alg":"scrypt"');
    expect((await openRootKey(readFileSync(path), INSTANCE, opener(), memory)).read(REVEAL)).toEqual(rootKey.read(REVEAL));
    await keychain.begin();
    expect([keychain.isMoving(), keychain.epochs().length]).toEqual([true, 2]);
    keychain.destroy();
  });

  test('goes from one root key to the next; a crash in between is found at the next opening', async () => {
    const path = await fileWith(makeRootKey(memory), 'argon2id');
    const open = () => openKeychain({ path, instanceId: INSTANCE, opener: opener('argon2id'), memory });
    const first = await open();
    const info = 'a use';
    const [old] = first.epochs();
    const derivedBefore = Buffer.from(first.derive(old ?? '', info)?.read(REVEAL) ?? []);
    await first.begin();
    const next = first.current();
    expect(next).not.toBe(old);
    const derivedNext = Buffer.from(first.derive(next, info)?.read(REVEAL) ?? []);
    first.destroy();

    const second = await open();
    expect([second.isMoving(), second.epochs()]).toEqual([true, [old, next]]);
    expect(second.derive(old ?? '', info)?.read(REVEAL)).toEqual(derivedBefore);
    expect(second.derive(next, info)?.read(REVEAL)).toEqual(derivedNext);
    // To begin again while it moves makes no third one.
    await second.begin();
    expect(second.current()).toBe(next);
    await second.end();
    expect([second.isMoving(), second.epochs(), existsSync(path.replace('.json', '-next.json'))]).toEqual([false, [next], false]);
    expect(second.derive(old ?? '', info)).toBeUndefined();
    second.destroy();

    const third = await open();
    expect(third.epochs()).toEqual([next]);
    expect(third.derive(next, info)?.read(REVEAL)).toEqual(derivedNext);
    third.destroy();
  });

  test('refuses the next root key of another instance', async () => {
    const path = await fileWith(makeRootKey(memory), 'argon2id');
    writeFileSync(path.replace('.json', '-next.json'), await sealRootKey(makeRootKey(memory), INSTANCE.replace(/b$/, 'c'), opener(), memory));
    await expect(openKeychain({ path, instanceId: INSTANCE, opener: opener(), memory })).rejects.toThrow(/is of the instance/);
  });
});
