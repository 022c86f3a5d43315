import { describe, expect, test } from 'vitest';
import { checkConfig, weaknessesOfConfig } from '../../src/config/check.ts';
import { loadConfig } from '../../src/config/load.ts';

const INSTANCE = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';
const VKEY = 'witness.example/w1+0cc3a1b2+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';

interface Given {
  readonly profile?: string;
  readonly flags?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly toml?: string;
}

function configOf({ flags = {}, environment = {}, toml, ...given }: Given) {
  return loadConfig({ ...given, flags, environment, ...(toml !== undefined && { file: { path: 'kms.toml', text: toml } }) });
}

const check = (given: Given): void => checkConfig(configOf(given));
const withLog = { 'service-backend': 'inmem' };
const asMacronode = { 'tls-cert-path': 'c', 'tls-key-path': 'k', 'service-backend': 'inmem', 'audit-anchor': 'witness', 'audit-witness-url': 'https://witness.example', 'audit-witness-vkey': VKEY };

describe('settings of the log that fit together', () => {
  test.each<[string, Given]>([
    ['keys in RAM and the log on disk', { flags: withLog }],
    ['the same from a file', { toml: `[service]\nbackend = "inmem"\namnesia = false\ninstance_id = "${INSTANCE}"\n[audit]\ndir = "/var/lib/kms"\n[backends.file]\nseal = "keyfile"\nkeyfile_path = "/etc/kms.key"\n` }],
    ['micronode as it is', { profile: 'micronode' }],
    ['micronode with more memory for its log', { profile: 'micronode', flags: { 'audit-memory-max': '8MiB' } }],
    ['micronode made to keep its log', { profile: 'micronode', flags: { 'service-amnesia': 'false', 'audit-dir': 'x' } }],
    ['an anchor file', { flags: { ...withLog, 'audit-anchor': 'file', 'audit-anchor-path': '/media/anchor' } }],
    ['a witness', { flags: { ...withLog, 'audit-anchor': 'witness', 'audit-witness-url': 'https://witness.example/log', 'audit-witness-vkey': VKEY } }],
    ['a witness on loopback', { flags: { ...withLog, 'audit-anchor': 'witness', 'audit-witness-url': 'http://127.0.0.1:7/w', 'audit-witness-vkey': VKEY } }],
    ['keys that change fast', { flags: { ...withLog, 'audit-key-rotation': '1s', 'audit-key-overlap': '1s' } }],
  ])('%s', (_name, given) => {
    expect(() => check(given)).not.toThrow();
  });

  test('defaults: flushed, signed every 5000 entries, keys for 90 days and 30 more, a passphrase', () => {
    const { settings } = configOf({});
    expect(settings).toMatchObject({
      'audit.dir': './kms-audit', 'audit.checkpoint_interval_ops': 5000, 'audit.durability': 'disk', 'audit.anchor': 'none', 'audit.anchor_interval': 3_600_000,
      'audit.key_rotation': 90 * 86_400_000, 'audit.key_overlap': 30 * 86_400_000, 'backends.file.seal': 'passphrase',
    });
  });

  test('what is allowed and still weak is said', () => {
    expect(weaknessesOfConfig(configOf({ flags: withLog })).join('\n')).toMatch(/keys live in RAM and are gone when it stops; the log stays\naudit\.anchor = "none"/);
    expect(weaknessesOfConfig(configOf({ profile: 'micronode' }))).toEqual([]);
    expect(weaknessesOfConfig(configOf({ flags: asMacronode }))).toHaveLength(1);
  });
});

describe('settings of the log that do not are refused in one line that says what to change', () => {
  test.each<[Given, RegExp]>([
    [{ flags: { ...withLog, 'service-allow-sign-fallback': 'true' } }, /service\.allow_sign_fallback = true goes with service\.backend = "pkcs11"/],
    [{ flags: { 'service-backend': 'tpm' } }, /set backends\.file\.seal = "tpm"/],
    [{ flags: { 'service-backend': 'cloud', 'backends-file-seal': 'cloud' } }, /service\.backend = "cloud" needs backends\.cloud\.provider and backends\.cloud\.key/],
    [{ flags: { 'backends-file-seal': 'cloud', 'backends-cloud-provider': 'vault-transit', 'backends-cloud-key': 'k' } }, /needs backends\.cloud\.endpoint/],
    [{ flags: { 'backends-file-seal': 'cloud', 'backends-cloud-provider': 'vault-transit', 'backends-cloud-key': 'k', 'backends-cloud-endpoint': 'http://vault.example' } }, /backends\.cloud\.endpoint must be https/],
    [{ flags: { 'backends-file-seal': 'pkcs11' } }, /backends\.file\.seal = "pkcs11" needs backends\.pkcs11\.module_path/],
    [{ flags: { 'backends-tpm-pin-env': 'P', 'backends-tpm-pin-path': '/p' } }, /set one of backends\.tpm\.pin_env and backends\.tpm\.pin_path/],
    [{ flags: { 'backends-tpm-pcrs': '7,24' } }, /--backends-tpm-pcrs/],
    [{ flags: { 'service-amnesia': 'true' } }, /service\.backend = "file" keeps keys, and service\.amnesia = true forgets them/],
    [{ profile: 'micronode', flags: { 'service-backend': 'file' } }, /keeps keys, and service\.amnesia = true/],
    [{ profile: 'micronode', flags: { 'audit-dir': './log' } }, /micronode: audit\.dir is set, and service\.amnesia = true/],
    [{ profile: 'micronode', environment: { RON_KMS_AUDIT_DIR: './log' } }, /audit\.dir is set/],
    [{ profile: 'micronode', toml: '[audit]\ndir = "./log"\n' }, /audit\.dir is set/],
    [{ profile: 'micronode', flags: { 'service-instance-id': INSTANCE } }, /service\.instance_id is set/],
    [{ profile: 'micronode', flags: { 'audit-anchor': 'file', 'audit-anchor-path': 'x' } }, /audit\.anchor is set, and service\.amnesia/],
    [{ flags: { ...withLog, 'audit-anchor': 'pkcs11' } }, /audit\.anchor = "pkcs11" needs backends\.pkcs11\.module_path/],
    [{ flags: { ...withLog, 'audit-anchor': 'file' } }, /needs audit\.anchor_path/],
    [{ flags: { ...withLog, 'audit-anchor': 'witness' } }, /needs audit\.witness_url and audit\.witness_vkey/],
    [{ flags: { ...withLog, 'audit-anchor': 'witness', 'audit-witness-url': 'https://w' } }, /needs audit\.witness_url and audit\.witness_vkey/],
    [{ flags: { ...withLog, 'audit-anchor': 'witness', 'audit-witness-url': 'http://witness.example', 'audit-witness-vkey': VKEY } }, /audit\.witness_url must be https/],
    [{ flags: { ...withLog, 'audit-anchor': 'witness', 'audit-witness-url': 'ftp://127.0.0.1', 'audit-witness-vkey': VKEY } }, /audit\.witness_url must be https/],
    [{ flags: { ...withLog, 'audit-witness-vkey': 'witness' } }, /--audit-witness-vkey must be a verifier key/],
    [{ flags: { ...withLog, 'audit-durability': 'ram' } }, /--audit-durability must be one of disk, os/],
    [{ flags: { ...withLog, 'audit-checkpoint-interval-ops': '0' } }, /must be a whole number from 1/],
    [{ flags: { ...withLog, 'audit-key-rotation': '100ms', 'audit-key-overlap': '1ms' } }, /audit\.key_rotation is at least 1s/],
    [{ flags: { ...withLog, 'audit-key-overlap': '91d' } }, /audit\.key_overlap no longer than it/],
    [{ flags: { ...withLog, 'backends-file-seal': 'keyfile' } }, /needs backends\.file\.keyfile_path/],
    [{ flags: { ...withLog, 'backends-file-passphrase-env': 'A', 'backends-file-passphrase-fd': '3' } }, /set one of backends\.file\.passphrase_env and/],
    [{ flags: { ...withLog, 'service-instance-id': 'my-kms' } }, /--service-instance-id must be a UUID/],
  ])('%j', (given, says) => {
    expect(() => check(given)).toThrow(says);
  });

  test.each<[Given['flags'], RegExp]>([
    [{ 'service-amnesia': 'true', 'audit-anchor': 'none' }, /service\.amnesia = true/],
    [{ 'pq-verify-mode': 'or' }, /pq\.verify_mode = "or"/],
    [{ 'audit-durability': 'os' }, /audit\.durability = "os"/],
    [{ 'audit-anchor': 'none' }, /audit\.anchor = "none"/],
    [{ 'backends-file-seal': 'keyfile', 'backends-file-keyfile-path': 'k' }, /leaves the root key in a plain file/],
    [{ 'security-attest-require': 'never' }, /signs without evidence/],
    [{ 'auth-keyset-path': 'keys.json' }, /from a plain file/],
    [{ 'pq-verify-mode': 'or', 'audit-durability': 'os', 'audit-anchor': 'none' }, /pq\.verify_mode.*audit\.durability.*audit\.anchor.*gives no evidence/],
    [{}, /gives no evidence/],
  ])('macronode does not start on %j', (flags, says) => {
    expect(() => check({ profile: 'macronode', flags: { ...asMacronode, ...flags } })).toThrow(says);
    expect(() => check({ profile: 'macronode', flags: { ...asMacronode, ...flags } })).toThrow(/^profile macronode: /);
  });

  test('macronode does not start without TLS', () => {
    const { 'tls-cert-path': _, 'tls-key-path': __, ...flags } = asMacronode;
    expect(() => check({ profile: 'macronode', flags })).toThrow(/without TLS/);
  });

  test('a passphrase where its variable\'s name belongs is not repeated', () => {
    for (const given of [{ flags: { 'backends-file-passphrase-env': 'otter lantern' } }, { environment: { RON_KMS_BACKENDS_FILE_PASSPHRASE_ENV: 'otter-lantern' } }, { toml: '[backends.file]\npassphrase_env = "otter lantern"\n' }]) {
      expect(() => check(given)).toThrow(/must be the name of a variable/);
      expect(() => check(given)).not.toThrow(/otter/);
    }
  });

  test('the variable with the passphrase may be named like a setting, when a setting names it', () => {
    const environment = { RON_KMS_PASSPHRASE: 'otter lantern quartz' };
    expect(() => check({ flags: withLog, environment })).toThrow(/RON_KMS_PASSPHRASE is not a setting/);
    expect(() => check({ flags: { ...withLog, 'backends-file-passphrase-env': 'RON_KMS_PASSPHRASE' }, environment })).not.toThrow();
  });
});
