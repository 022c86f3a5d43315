import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { verifyCheckpointNote } from '../../client/src/log/verify-note.ts';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { openLogKeys } from '../../src/compose/open-log-keys.ts';
import { loadConfig } from '../../src/config/load.ts';
import { LAUNCHER } from '../harness/service.ts';
import { ronKms, showsStack } from './ron-kms.ts';

const WORDS = 'otter lantern quartz meadow';
const memory = createLockedMemory();
const signatures = createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: createPublicKeyCache(8) });

let cwd: string;
const at = (name: string): string => join(cwd, name);
beforeEach(() => { cwd = mkdtempSync(join(tmpdir(), 'ron-kms-init-')); });
afterEach(() => { rmSync(cwd, { recursive: true, force: true }); });

const init = (line: string, options: Parameters<typeof ronKms>[1] = {}) => ronKms(['init', ...line.split(' ').filter((word) => word !== '')], { cwd, ...options });
const modeOf = (name: string): number => statSync(at(name)).mode & 0o777;

interface Made {
  readonly instance_id: string;
  readonly origin: string;
  readonly keys: readonly { readonly vkey: string; readonly alg: string }[];
  readonly token?: string;
}

async function made(line: string, options: Parameters<typeof ronKms>[1] = {}): Promise<Made> {
  const { code, out, err } = await init(`${line} --json`, options);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Made;
}

/** The log keys as a service opens them from the settings that init wrote. */
function open(environment: Readonly<Record<string, string>> = {}, credentialsDirectory?: string, flags: Readonly<Record<string, string>> = {}) {
  const config = loadConfig({ file: { path: at('kms.toml'), text: readFileSync(at('kms.toml'), 'utf8') }, environment, flags });
  return openLogKeys({ config, environment, credentialsDirectory, signatures, memory });
}

describe('ron-kms init', () => {
  test('with a key file: an identity, two keys to pin, and settings that open them', async () => {
    const { instance_id: instanceId, origin, keys, ...more } = await made('--seal keyfile');
    expect(more).toEqual({});
    expect(instanceId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
    expect(origin).toBe(`ron-kms/${instanceId}`);
    expect(keys.map(({ alg }) => alg)).toEqual(['ed25519', 'ml-dsa-44']);
    expect(keys.map(({ vkey }) => parseVkey(vkey)).map((key) => [key?.name, key?.type])).toEqual([[origin, 1], [origin, 6]]);

    expect(['kms-audit', 'kms-audit/identity.json', 'kms-audit/root-key.json', 'kms-audit/log-keys.json', 'kms-root.key', 'kms.toml', 'kms-sealed', 'kms-sealed/keys.db'].map(modeOf)).toEqual([0o700, 0o600, 0o600, 0o600, 0o600, 0o600, 0o700, 0o600]);
    expect(readdirSync(cwd).toSorted()).toEqual(['kms-audit', 'kms-root.key', 'kms-sealed', 'kms.toml']);
    expect(readdirSync(at('kms-audit')).toSorted()).toEqual(['identity.json', 'log-keys.json', 'root-key.json']);

    const signer = await open();
    expect(signer.keys().map(({ vkey }) => vkey)).toEqual(keys.map(({ vkey }) => vkey));
    const note = await signer.sign({ origin, size: 1, rootHash: Buffer.alloc(32) }, Date.now());
    expect(verifyCheckpointNote(note, keys.flatMap(({ vkey }) => parseVkey(vkey) ?? []))).not.toHaveProperty('fault');
    expect(await ronKms(['config', 'check'], { cwd })).toMatchObject({ code: 0 });
  });

  test('with a passphrase from a variable, a descriptor or a systemd credential', async () => {
    await made('--passphrase-env KMS_WORDS', { env: { KMS_WORDS: WORDS } });
    await open({ KMS_WORDS: WORDS });
    await expect(open({ KMS_WORDS: `${WORDS}s` })).rejects.toThrow(/wrong passphrase/);
    await expect(open()).rejects.toThrow(/passphrase_env names is not set/);

    await made('--passphrase-fd 0 --audit-dir two --sealed-dir two-keys --config two.toml', { stdin: `${WORDS}\n` });
    mkdirSync(at('credentials'));
    writeFileSync(at('credentials/ron-kms.passphrase'), WORDS);
    await made('--audit-dir three --sealed-dir three-keys --config three.toml', { env: { CREDENTIALS_DIRECTORY: at('credentials') } });
    rmSync(at('kms.toml'));
    for (const name of ['two', 'three']) {
      writeFileSync(at('kms.toml'), readFileSync(at(`${name}.toml`)));
      await open({}, at('credentials'));
      await expect(open()).rejects.toThrow(/nobody gives it: set backends\.file\.passphrase_env/);
    }
  });

  test('on a terminal asks twice, shows nothing of what is typed, and wants the same both times', async () => {
    const pty = async (...typed: readonly string[]) => {
      const child = spawn('script', ['-qec', `${LAUNCHER} init`, '/dev/null'], { cwd, stdio: 'pipe', env: { ...process.env, TERM: 'dumb' } });
      let shown = '';
      child.stdout.on('data', (chunk: Buffer) => {
        shown += chunk.toString();
        if (shown.endsWith(': ')) child.stdin.write(typed[shown.split(/: (?:\r?\n)?/).length - 2] ?? '');
      });
      await once(child, 'close');
      return { code: child.exitCode, shown };
    };
    const different = await pty(`${WORDS}\r`, `${WORDS}!\r`);
    expect(different).toMatchObject({ code: 2, shown: expect.stringContaining('the two passphrases differ') });
    expect(readdirSync(cwd)).toEqual([]);
    const { code, shown } = await pty(`${WORDS}\r`, `${WORDS}\r`);
    expect({ code, shown }).toMatchObject({ code: 0, shown: expect.stringContaining('The same again: ') });
    expect(shown + different.shown).not.toContain('otter');
    await open({}, undefined, {}).then(() => expect.unreachable(), (fault: Error) => expect(fault.message).toMatch(/nobody gives it/));
    await open({ KMS_WORDS: WORDS }, undefined, { 'backends-file-passphrase-env': 'KMS_WORDS' });
  });

  test('for a developer makes a key set, and a token of it that works', async () => {
    const { token = '' } = await made('--seal keyfile --dev-keyset');
    expect(modeOf('kms-dev-keyset.json')).toBe(0o600);
    const inspected = await ronKms(['token', 'inspect', '--keyset', 'kms-dev-keyset.json', '--json'], { cwd, env: { RON_KMS_TOKEN: token } });
    expect(JSON.parse(inspected.out)).toMatchObject({ expired: false, missing: [] });
    expect(inspected.code).toBe(0);
    expect(readFileSync(at('kms.toml'), 'utf8')).toContain(`keyset_path = "${at('kms-dev-keyset.json')}"`);
  });

  test('in words says what was made, what to pin, what to keep and how to go on', async () => {
    const { out } = await init('--seal keyfile');
    const { keys } = JSON.parse(readFileSync(at('kms-audit/log-keys.json'), 'utf8')).sets[0] as Made;
    for (const part of [...keys.map(({ vkey }) => vkey), 'is made', 'Pin these keys', at('kms-root.key'), 'auth.keyset_path', 'ron-kms serve\n']) expect(out).toContain(part);
    expect((await init('--seal keyfile --audit-dir a2 --sealed-dir s2 --keyfile-path k2 --config s2.toml')).out).toContain(`ron-kms serve --config ${at('s2.toml')}`);
    expect((await init('--audit-dir a3 --sealed-dir s3 --config s3.toml --passphrase-fd 0', { stdin: WORDS })).out).toContain('it asks for the passphrase');
  });

  test('two instances share nothing, and one\'s files are refused in the other', async () => {
    const one = await made('--seal keyfile');
    const other = await made('--seal keyfile --audit-dir other --sealed-dir other-keys --keyfile-path other.key --config other.toml');
    expect(other.instance_id).not.toBe(one.instance_id);
    expect(readFileSync(at('other.key'))).not.toEqual(readFileSync(at('kms-root.key')));
    const own = readFileSync(at('kms-audit/log-keys.json'));
    const swap = (name: string) => writeFileSync(at(`kms-audit/${name}`), readFileSync(at(`other/${name}`)));
    swap('log-keys.json');
    await expect(open()).rejects.toThrow(`the keys of another log, ${other.origin}`);
    writeFileSync(at('kms-audit/log-keys.json'), own);
    swap('root-key.json');
    await expect(open()).rejects.toThrow(/root-key\.json is of the instance/);
    swap('identity.json');
    await expect(open()).rejects.toThrow(/service\.instance_id is/);
    swap('log-keys.json');
    await expect(open()).rejects.toThrow(/service\.instance_id is/);
    rmSync(at('kms-audit/root-key.json'));
    writeFileSync(at('kms.toml'), readFileSync(at('kms.toml'), 'utf8').replace(one.instance_id, other.instance_id));
    await expect(open()).rejects.toThrow(/root-key\.json cannot be read/);
  });

  test('a key file that others may read opens nothing', async () => {
    await made('--seal keyfile');
    chmodSync(at('kms-root.key'), 0o644);
    await expect(open()).rejects.toThrow(/others may read the key file/);
  });
});

describe('ron-kms init overwrites nothing and leaves nothing half made', () => {
  test.each<[string, string, RegExp, () => void]>([
    ['settings are there', '--seal keyfile', /kms\.toml is there already/, () => writeFileSync(at('kms.toml'), 'mine')],
    ['a key file is there', '--seal keyfile', /kms-root\.key is there already/, () => writeFileSync(at('kms-root.key'), 'mine')],
    ['a key set is there', '--seal keyfile --dev-keyset', /kms-dev-keyset\.json is there already/, () => writeFileSync(at('kms-dev-keyset.json'), 'mine')],
    ['the audit directory holds something', '--seal keyfile', /is not empty and has no identity/, () => { mkdirSync(at('kms-audit')); writeFileSync(at('kms-audit/root-key.json'), 'mine'); }],
    ['the audit directory is a file', '--seal keyfile', /kms-audit cannot be used: it is not a directory/, () => writeFileSync(at('kms-audit'), 'mine')],
    ['an identity is there, readable or not', '--seal keyfile', /already has an identity: choose another --audit-dir/, () => { mkdirSync(at('kms-audit')); writeFileSync(at('kms-audit/identity.json'), 'mine'); }],
    ['the key would lie in what it opens', '--seal keyfile --keyfile-path kms-audit/root.key', /lies inside the audit directory/, () => undefined],
    ['the settings would lie there too', '--seal keyfile --config ./kms-audit/sub/kms.toml', /lies inside the audit directory/, () => undefined],
    ['the place for the key is not there', '--seal keyfile --keyfile-path far/away.key', /is not there: make the directory first/, () => undefined],
    ['nobody gives a passphrase', '', /there is no passphrase and nobody to ask/, () => undefined],
    ['its variable is not set', '--passphrase-env NOT_SET', /is not set/, () => undefined],
    ['a passphrase in the place of a name', '--passphrase-env otter-lantern', /--passphrase-env is the name of a variable/, () => undefined],
    ['a flag for a passphrase', '--passphrase otter', /init has no flag --passphrase/, () => undefined],
    ['an unknown seal', '--seal wax', /--seal is one of passphrase, keyfile/, () => undefined],
    ['a flag of the other seal', '--seal keyfile --passphrase-fd 0', /--passphrase-fd is not for the seal keyfile/, () => undefined],
    ['two sources', '--passphrase-fd 0 --passphrase-env X', /give one of/, () => undefined],
  ])('%s', async (_name, line, says, prepare) => {
    prepare();
    const before = tree();
    const { code, out, err } = await init(line);
    expect({ isRefused: code !== 0, out }).toEqual({ isRefused: true, out: '' });
    expect(err).toMatch(says);
    expect(err).not.toContain('otter');
    expect(showsStack(err)).toBe(false);
    expect(tree()).toEqual(before);
  });

  test('an identity that is there is named, and stays', async () => {
    const { origin } = await made('--seal keyfile');
    const before = tree();
    expect(await init('--seal keyfile --config again.toml --keyfile-path again.key')).toMatchObject({ code: 2, err: expect.stringContaining(`already has an identity, ${origin}`) });
    expect(tree()).toEqual(before);
  });

  test.each(['tiny12', 'passwordpassword1', '123456789012345678'])('a weak passphrase is refused and not repeated: %s', async (weak) => {
    const { code, err } = await init('--passphrase-env W', { env: { W: weak } });
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining('the passphrase is too weak') });
    expect(err).not.toContain(weak);
    expect(readdirSync(cwd)).toEqual([]);
  });

  test('a fault on the way takes back what was made, and an empty directory that was there stays', async () => {
    mkdirSync(at('volume/lost+found'), { recursive: true, mode: 0o755 });
    // As a full disk would, a name that no file can have shows only when the settings are written.
    for (const auditDir of ['volume', 'new/deep']) {
      expect(await init(`--seal keyfile --audit-dir ${auditDir} --config ${'n'.repeat(256)}`)).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/ENAMETOOLONG.*what was made is taken back/) });
      expect(Object.keys(tree())).toEqual(['volume', 'volume/lost+found']);
    }
    await made('--seal keyfile --audit-dir volume');
    expect(existsSync(at('volume/identity.json'))).toBe(true);
    expect(modeOf('volume')).toBe(0o700);
  });

  test('a passphrase is in nothing that is printed or written', async () => {
    const ran = [
      await init('--passphrase-env KMS_WORDS', { env: { KMS_WORDS: WORDS } }),
      await init('--passphrase-env KMS_WORDS', { env: { KMS_WORDS: WORDS } }),
      await ronKms(['config', 'print'], { cwd, env: { KMS_WORDS: WORDS } }),
      await ronKms(['config', 'check', '--json'], { cwd, env: { KMS_WORDS: WORDS } }),
    ];
    expect(ran.map(({ code }) => code)).toEqual([0, 2, 0, 0]);
    for (const text of [...ran.map(({ out, err }) => out + err), ...Object.values(tree())]) for (const word of WORDS.split(' ')) expect(text).not.toContain(word);
  });
});

/** Every file below the directory, with its content. */
function tree(): Readonly<Record<string, string>> {
  return Object.fromEntries(readdirSync(cwd, { recursive: true, encoding: 'utf8' }).toSorted().map((name) => [name, statSync(at(name)).isFile() ? readFileSync(at(name), 'utf8') : 'directory']));
}
