import { argon2id } from '@noble/hashes/argon2.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { inspect } from 'node:util';
import canonicalize from 'canonicalize';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDurably, durableFile } from '../../src/adapters/files/durable-file.ts';
import { makeKeyfile, readKeyfile } from '../../src/adapters/root-key/keyfile.ts';
import { isSamePassphrase, passphraseOf, readPassphrase, weaknessOfPassphrase } from '../../src/adapters/root-key/passphrase.ts';
import { makeRootKey, openRootKey, sealRootKey } from '../../src/adapters/root-key/root-key.ts';
import { askHidden } from '../../src/adapters/system/hidden-prompt.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { REVEAL } from '../../src/core/reveal.ts';
import { Secret } from '../../src/core/secret.ts';
import { withOneBitFlipped } from '../harness/bits.ts';

const INSTANCE = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';
const OTHER = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0c';
const WORDS = 'otter lantern quartz meadow';
const memory = createLockedMemory();
const passphrase = (text = WORDS): { seal: 'passphrase'; secret: Secret } => ({ seal: 'passphrase', secret: passphraseOf(Buffer.from(text)) });

let directory: string;
const at = (name: string): string => join(directory, name);
beforeAll(() => { directory = mkdtempSync(join(tmpdir(), 'ron-kms-root-')); });
afterAll(() => { rmSync(directory, { recursive: true, force: true }); });

describe('a root key', () => {
  test('is 32 random bytes that no printing shows', () => {
    const [one, other] = [makeRootKey(memory), makeRootKey(memory)];
    expect(one.read(REVEAL)).toHaveLength(32);
    expect(one.read(REVEAL).equals(other.read(REVEAL))).toBe(false);
    for (const shown of [String(one), JSON.stringify({ one }), inspect(one, { showHidden: true, depth: 9 })]) expect(shown).not.toMatch(/[0-9a-f]{16}/);
  });

  test('comes back from under a passphrase and from under a key file', async () => {
    const rootKey = makeRootKey(memory);
    const keyfile = { seal: 'keyfile', secret: await makeKeyfile(at('round.key'), memory) } as const;
    for (const opener of [passphrase(), keyfile]) {
      const file = await sealRootKey(rootKey, INSTANCE, opener, memory);
      expect(file).not.toContain(rootKey.read(REVEAL).toString('base64'));
      expect((await openRootKey(Buffer.from(file), INSTANCE, opener, memory)).read(REVEAL)).toEqual(rootKey.read(REVEAL));
    }
    expect(readKeyfile(at('round.key'), memory).read(REVEAL)).toEqual(keyfile.secret.read(REVEAL));
  });

  test('is opened by an implementation that is not ours, from what the file says', async () => {
    const rootKey = makeRootKey(memory);
    const { nonce_b64: nonce, sealed_b64: sealed, ...header } = JSON.parse(await sealRootKey(rootKey, INSTANCE, passphrase(), memory)) as Record<string, any>;
    expect(header).toMatchObject({ v: 1, instance_id: INSTANCE, seal: 'passphrase', kdf: { alg: 'argon2id', memory_kib: 65_536, passes: 3, parallelism: 1 } });
    const salt = Buffer.from(header['kdf'].salt_b64, 'base64');
    expect(salt).toHaveLength(16);
    const key = argon2id(WORDS, salt, { m: 65_536, t: 3, p: 1, dkLen: 32 });
    const aad = Buffer.from(`ron-kms/root-key/v1\n${canonicalize(header)}`);
    expect(Buffer.from(chacha20poly1305(key, Buffer.from(nonce, 'base64'), aad).decrypt(Buffer.from(sealed, 'base64')))).toEqual(rootKey.read(REVEAL));
  }, 60_000);

  test('sealed twice is two different files', async () => {
    const rootKey = makeRootKey(memory);
    const [one, other] = [await sealRootKey(rootKey, INSTANCE, passphrase(), memory), await sealRootKey(rootKey, INSTANCE, passphrase(), memory)].map((text) => JSON.parse(text) as Record<string, any>);
    expect(one?.['kdf'].salt_b64).not.toBe(other?.['kdf'].salt_b64);
    expect(one?.['sealed_b64']).not.toBe(other?.['sealed_b64']);
  });

  test('does not open with another passphrase, key file or seal, nor for another instance', async () => {
    const rootKey = makeRootKey(memory);
    const [own, foreign] = [{ seal: 'keyfile', secret: makeRootKey(memory) }, { seal: 'keyfile', secret: makeRootKey(memory) }] as const;
    const [byPassphrase, byKeyfile] = [Buffer.from(await sealRootKey(rootKey, INSTANCE, passphrase(), memory)), Buffer.from(await sealRootKey(rootKey, INSTANCE, own, memory))];
    for (const wrong of [`${WORDS} `, WORDS.toUpperCase(), WORDS.slice(1), 'another passphrase entirely']) {
      await expect(openRootKey(byPassphrase, INSTANCE, passphrase(wrong), memory)).rejects.toThrow(/wrong passphrase/);
    }
    await expect(openRootKey(byKeyfile, INSTANCE, foreign, memory)).rejects.toThrow(/wrong keyfile/);
    await expect(openRootKey(byKeyfile, INSTANCE, passphrase(), memory)).rejects.toThrow(/backends\.file\.seal = "keyfile"/);
    await expect(openRootKey(byKeyfile, OTHER, own, memory)).rejects.toThrow(/is of the instance/);
    await expect(openRootKey(Buffer.from(byKeyfile.toString().replace(INSTANCE, OTHER)), OTHER, own, memory)).rejects.toThrow(/does not open/);
  });

  test('does not open when one bit of any field differs', async () => {
    const opener = { seal: 'keyfile', secret: makeRootKey(memory) } as const;
    const flips = withOneBitFlipped(await sealRootKey(makeRootKey(memory), INSTANCE, opener, memory));
    expect(flips.length).toBe(10);
    for (const { where, text } of flips) await expect(openRootKey(Buffer.from(text), INSTANCE, opener, memory), where).rejects.toThrow(/root/);
    // The parameters of argon2id too; those that would cost less, or more than a machine has, are not even tried.
    const sealed = await sealRootKey(makeRootKey(memory), INSTANCE, passphrase(), memory);
    for (const { where, text } of withOneBitFlipped(sealed).filter(({ where }) => where.startsWith('kdf.'))) await expect(openRootKey(Buffer.from(text), INSTANCE, passphrase(), memory), where).rejects.toThrow(/root/);
    for (const [name, value] of [['memory_kib', 8], ['memory_kib', 2 ** 31], ['passes', 1], ['passes', 1e6], ['parallelism', 4], ['parallelism', 4.5], ['salt_b64', 'AAAA'], ['alg', 'argon2i']] as const) {
      const file = JSON.parse(sealed) as Record<string, any>;
      file['kdf'][name] = value;
      await expect(openRootKey(Buffer.from(JSON.stringify(file)), INSTANCE, passphrase(), memory), name).rejects.toThrow(/not a root key of this version/);
    }
  });

  test.each(['', 'null', '[]', '{}', '{"v":1', 'x'.repeat(500), '{"v":1,"v":1}', '{"v":2}'])('is not read out of %j, and what stood there is not said', async (text) => {
    const fault = await openRootKey(Buffer.from(text), INSTANCE, passphrase(), memory).catch((one: unknown) => one);
    expect(String(fault)).toMatch(/root-key\.json cannot be read/);
    expect(String(fault)).not.toContain('xxx');
  });
});

describe('a key file', () => {
  test('is 32 random bytes in base64, for its owner alone, and never overwritten', async () => {
    const key = await makeKeyfile(at('own.key'), memory);
    expect(statSync(at('own.key')).mode & 0o777).toBe(0o600);
    expect(readFileSync(at('own.key'), 'utf8')).toBe(`${key.read(REVEAL).toString('base64')}\n`);
    await expect(makeKeyfile(at('own.key'), memory)).rejects.toThrow(/EEXIST/);
    expect(readKeyfile(at('own.key'), memory).read(REVEAL)).toEqual(key.read(REVEAL));
  });

  test.each([0o644, 0o640, 0o604, 0o620, 0o660, 0o666])('that others may touch is refused (%o)', async (mode) => {
    await makeKeyfile(at(`open-${mode}.key`), memory);
    chmodSync(at(`open-${mode}.key`), mode);
    expect(() => readKeyfile(at(`open-${mode}.key`), memory)).toThrow(/others may read .* chmod 600/);
    symlinkSync(at(`open-${mode}.key`), at(`link-${mode}.key`));
    expect(() => readKeyfile(at(`link-${mode}.key`), memory)).toThrow(/others may read/);
  });

  test('that is none is refused, and its content is not repeated', () => {
    const right = Buffer.alloc(32, 9).toString('base64');
    const wrong = ['', '\n', right.slice(0, -1), `${right}${right}`, ` ${right}`, `${right}\n\n`, `${right}\nx`, right.replace('=', 'A'), Buffer.alloc(31).toString('base64'), Buffer.alloc(33).toString('base64'), 'SUPERSECRET'];
    for (const [i, text] of wrong.entries()) {
      writeFileSync(at(`wrong-${i}.key`), text, { mode: 0o600 });
      const read = (): unknown => readKeyfile(at(`wrong-${i}.key`), memory);
      expect(read, JSON.stringify(text)).toThrow(/is not a key file/);
      expect(read).not.toThrow(/SUPERSECRET|CQkJ/);
    }
    writeFileSync(at('bare.key'), right, { mode: 0o600 });
    expect(readKeyfile(at('bare.key'), memory).read(REVEAL)).toEqual(Buffer.alloc(32, 9));
    mkdirSync(at('folder'), { mode: 0o700 });
    expect(() => readKeyfile(at('folder'), memory)).toThrow(/is not a file/);
    expect(() => readKeyfile(at('lost.key'), memory)).toThrow(/cannot be read.*keyfile_path/);
  });
});

function textOf(secret: Secret | undefined): string | undefined {
  return secret?.read(REVEAL).toString('utf8');
}

/** What two questions get from somebody who types this, and what a terminal shows meanwhile. */
async function type(...keys: readonly (string | Buffer)[]) {
  const rawModes: boolean[] = [];
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (isRaw: boolean) => rawModes.push(isRaw) });
  let shown = '';
  for (const key of keys) input.write(key);
  const answers = await askHidden(['? ', '! '], { input, output: { write: (text) => { shown += `${rawModes.at(-1)} ${text}`; } } });
  return { answers: answers?.map(String), rawModes, shown };
}

describe('a passphrase', () => {
  const sources = { environment: { KMS_WORDS: WORDS, EMPTY: '' }, credentialsDirectory: undefined };

  test('comes from a variable, a descriptor, or systemd, and from nowhere else', () => {
    writeFileSync(at('words'), `${WORDS}\n`);
    mkdirSync(at('credentials'));
    writeFileSync(at('credentials/ron-kms.passphrase'), `${WORDS}\r\n`, { mode: 0o400 });
    expect(textOf(readPassphrase({ ...sources, variable: 'KMS_WORDS' }))).toBe(WORDS);
    expect(textOf(readPassphrase({ ...sources, credentialsDirectory: at('credentials') }))).toBe(WORDS);
    expect(readPassphrase({ ...sources, credentialsDirectory: directory })).toBeUndefined();
    expect(readPassphrase(sources)).toBeUndefined();
    expect(() => readPassphrase({ ...sources, fd: 987 })).toThrow(/passphrase_fd/);
  });

  test('its variable is not named when it is not set: the passphrase may stand where the name belongs', () => {
    for (const variable of ['EMPTY', 'hunter2_hunter2_hunter2']) {
      expect(() => readPassphrase({ ...sources, variable })).toThrow(/passphrase_env names is not set/);
      expect(() => readPassphrase({ ...sources, variable })).not.toThrow(/hunter2/);
    }
  });

  test('is one line of UTF-8, the same however its accents are typed, and shows in no text', () => {
    for (const bad of [Buffer.alloc(0), Buffer.from('\n'), Buffer.from('two\nlines'), Buffer.from('a\u0000b'), Buffer.from('a\tb'), Buffer.from([0x61, 0xff]), Buffer.alloc(1025, 0x61)]) expect(() => passphraseOf(Buffer.from(bad))).toThrow(/one line of UTF-8/);
    expect(isSamePassphrase(passphraseOf(Buffer.from('caf\u00e9 by the lake')), passphraseOf(Buffer.from('cafe\u0301 by the lake')))).toBe(true);
    expect(isSamePassphrase(passphraseOf(Buffer.from('one')), passphraseOf(Buffer.from('two')))).toBe(false);
    const typed = Buffer.from(WORDS);
    const secret = passphraseOf(typed);
    expect(typed.every((byte) => byte === 0)).toBe(true);
    expect(`${String(secret)}${inspect(secret, { showHidden: true })}${JSON.stringify({ secret })}`).not.toContain('otter');
  });

  test.each([
    'short', 'fourteen chars', 'passwordpassword', 'Password123456789', 'P@ssw0rdP@ssw0rd!', 'aaaaaaaaaaaaaaaaaaaa', 'abababababababababab', '123456789012345678', 'abcdefghijklmnopqrstuvwxyz',
    'qwertyuiopasdfghjkl', 'correct horse battery staple', 'CorrectHorseBatteryStaple', 'changemechangeme', 'ron-kms-passphrase', 'adminadmin12345678', 'letmein letmein letmein', '               ', '111111111111111111111111',
  ])('is refused when it is among the first that are tried: %j', (text) => {
    expect(weaknessOfPassphrase(new Secret(Buffer.from(text)))).toMatch(/shorter than 15|tried first/);
  });

  test.each([WORDS, 'Zitronenfalter faltet 9 Segel', '4f9c1e77a0b23d58c6', 'x7#Qm2!vK9$pL4@z', 'на дворе трава дрова', 'the password is not in this log, ever', '多くの人が海を見ている夕方の駅前で'])('is taken when it is none of these: %j', (text) => {
    expect(weaknessOfPassphrase(new Secret(Buffer.from(text)))).toBeUndefined();
  });

  test('is asked for without showing it, with what a keyboard has to correct it', async () => {
    expect(await type('secret\r', 'again\r')).toEqual({ answers: ['secret', 'again'], rawModes: [true, false], shown: 'true ? true \ntrue ! true \n' });
    expect((await type('secret\nagain\n')).answers).toEqual(['secret', 'again']);
    expect((await type('sex\u007fcret\r', 'wrong\u0015right\r')).answers).toEqual(['secret', 'right']);
    expect((await type(Buffer.from('caf\u00e9').subarray(0, 4), Buffer.from([0xa9]), 'x\b\r', '\u0004')).answers).toEqual(['caf\u00e9', '']);
    await expect(type('abc\u0003')).rejects.toThrow(/interrupted/);
    expect(await askHidden(['? '], { input: new PassThrough(), output: { write: () => expect.unreachable() } })).toBeUndefined();
  });
});

describe('a file that is replaced whole', () => {
  test('is private, and takes no notice of what a crash left beside it', async () => {
    const file = durableFile(at('whole.json'));
    writeFileSync(at('whole.json.tmp'), 'half of a longer text than the next one');
    await file.replace('one');
    await file.replace('two');
    expect((await file.read()).toString()).toBe('two');
    expect(statSync(at('whole.json')).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).not.toContain('whole.json.tmp');
  });

  test('stays as it was when the new content cannot be written', async () => {
    mkdirSync(at('blocked'));
    const file = durableFile(at('blocked/it.json'));
    await file.replace('before');
    mkdirSync(at('blocked/it.json.tmp'));
    await expect(file.replace('after')).rejects.toThrow(/EISDIR/);
    expect((await file.read()).toString()).toBe('before');
  });

  test('made anew replaces nothing', async () => {
    await createDurably(at('new.json'), 'first');
    await expect(createDurably(at('new.json'), 'second')).rejects.toThrow(/EEXIST/);
    expect(readFileSync(at('new.json'), 'utf8')).toBe('first');
  });
});
