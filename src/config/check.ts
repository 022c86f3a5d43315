import type { Config } from './load.ts';
import type { Settings } from './keys.ts';
import { BlockList, isIP } from 'node:net';
import { ConfigError } from './load.ts';

/** Settings that fit each on its own and not together: refused at start, with what to change. */
export function checkConfig(config: Config): void {
  const { settings, profile } = config;
  const wrong = rules.find(({ isWrong }) => isWrong(settings, config));
  if (wrong !== undefined) throw new ConfigError(profile === undefined ? wrong.say(settings) : `profile ${profile}: ${wrong.say(settings)}`);
  // All at once: who makes an instance strong goes through them one by one.
  const weak = profile === 'macronode' ? macronodeRules.filter(({ isWrong }) => isWrong(settings, config)) : [];
  if (weak.length > 0) throw new ConfigError(`profile macronode: ${weak.map(({ say }) => say(settings)).join('; ')}`);
}

/** What is allowed, but weaker than it should be: said at start. */
export function weaknessesOfConfig({ settings }: Config): readonly string[] {
  return weaknesses.filter(({ isWrong }) => isWrong(settings)).map(({ say }) => say);
}

interface Rule {
  readonly isWrong: (settings: Settings, config: Config) => boolean;
  readonly say: (settings: Settings) => string;
}

const rules: readonly Rule[] = [
  {
    isWrong: (settings) => settings['service.allow_sign_fallback'] !== (settings['backends.pkcs11.standby_slot_label'] !== undefined) || (settings['service.allow_sign_fallback'] && settings['service.backend'] !== 'pkcs11'),
    say: () => 'service.allow_sign_fallback = true goes with service.backend = "pkcs11" and backends.pkcs11.standby_slot_label, a token that holds the same keys: no other two backends hold the same in the same class. Set all of them, or none',
  },
  {
    isWrong: (settings) => usesOf(settings, 'pkcs11').length > 0 && [settings['backends.pkcs11.module_path'], settings['backends.pkcs11.slot_label']].includes(undefined),
    say: (settings) => `${usesOf(settings, 'pkcs11')[0]} needs backends.pkcs11.module_path and backends.pkcs11.slot_label`,
  },
  {
    isWrong: (settings) => settings['backends.pkcs11.pin_env'] !== undefined && settings['backends.pkcs11.pin_path'] !== undefined,
    say: () => 'set one of backends.pkcs11.pin_env and backends.pkcs11.pin_path',
  },
  {
    isWrong: (settings) => settings['backends.tpm.pin_env'] !== undefined && settings['backends.tpm.pin_path'] !== undefined,
    say: () => 'set one of backends.tpm.pin_env and backends.tpm.pin_path',
  },
  {
    isWrong: (settings) => (settings['service.backend'] === 'tpm' || settings['service.backend'] === 'cloud') && settings['backends.file.seal'] !== settings['service.backend'],
    say: (settings) => `service.backend = "${settings['service.backend']}" keeps its keys under a root key that is sealed there: set backends.file.seal = "${settings['service.backend']}"`,
  },
  {
    isWrong: (settings) => usesOf(settings, 'cloud').length > 0 && (settings['backends.cloud.provider'] === undefined || settings['backends.cloud.key'] === undefined),
    say: (settings) => `${usesOf(settings, 'cloud')[0]} needs backends.cloud.provider and backends.cloud.key`,
  },
  {
    isWrong: (settings) => settings['backends.cloud.provider'] === 'vault-transit' && settings['backends.cloud.endpoint'] === undefined,
    say: () => 'backends.cloud.provider = "vault-transit" needs backends.cloud.endpoint, the address of Vault or OpenBao',
  },
  {
    isWrong: (settings) => settings['backends.cloud.endpoint'] !== undefined && !isSafeUrl(settings['backends.cloud.endpoint']),
    say: () => 'backends.cloud.endpoint must be https, or http on loopback: keys travel to it',
  },
  {
    isWrong: (settings) => settings['backends.cloud.token_env'] !== undefined && settings['backends.cloud.token_path'] !== undefined,
    say: () => 'set one of backends.cloud.token_env and backends.cloud.token_path',
  },
  {
    isWrong: (settings) => settings['service.read_backends']?.some((name) => name === settings['service.backend']) === true,
    say: (settings) => `service.read_backends are the ones behind service.backend, and "${settings['service.backend']}" is in both: take it out`,
  },
  {
    isWrong: (settings) => settings['service.read_backends'] !== undefined && settings['service.backend'] === 'inmem',
    say: () => 'service.read_backends are set, and service.backend = "inmem" keeps no keys that they could have made: take one of them out',
  },
  {
    isWrong: (settings) => settings['service.amnesia'] && settings['service.backend'] !== 'inmem',
    say: (settings) => `service.backend = "${settings['service.backend']}" keeps keys, and service.amnesia = true forgets them: set the backend to "inmem", or amnesia to false`,
  },
  {
    isWrong: (settings, { sources }) => settings['service.amnesia'] && /^(file|environment|flag) /.test(sources['audit.dir']),
    say: () => 'audit.dir is set, and service.amnesia = true keeps the log in RAM: take one of them out',
  },
  {
    isWrong: (settings) => settings['service.amnesia'] && settings['service.instance_id'] !== undefined,
    say: () => 'service.instance_id is set, and service.amnesia = true begins a new log at each start: take one of them out',
  },
  {
    isWrong: (settings) => settings['service.amnesia'] && settings['audit.anchor'] !== 'none',
    say: () => 'audit.anchor is set, and service.amnesia = true leaves nothing that could be rolled back: take one of them out',
  },
  {
    isWrong: (settings) => settings['audit.anchor'] === 'file' && settings['audit.anchor_path'] === undefined,
    say: () => 'audit.anchor = "file" needs audit.anchor_path, on another medium than audit.dir',
  },
  {
    isWrong: (settings) => settings['audit.anchor'] === 'witness' && (settings['audit.witness_url'] === undefined || settings['audit.witness_vkey'] === undefined),
    say: () => 'audit.anchor = "witness" needs audit.witness_url and audit.witness_vkey',
  },
  {
    isWrong: (settings) => settings['audit.witness_url'] !== undefined && !isSafeUrl(settings['audit.witness_url']),
    say: () => 'audit.witness_url must be https, or http on loopback',
  },
  {
    isWrong: (settings) => settings['audit.key_rotation'] < KEY_ROTATION_MIN_MS || settings['audit.key_overlap'] > settings['audit.key_rotation'],
    say: () => 'audit.key_rotation is at least 1s, and audit.key_overlap no longer than it',
  },
  {
    isWrong: (settings) => !settings['service.amnesia'] && settings['backends.file.seal'] === 'keyfile' && settings['backends.file.keyfile_path'] === undefined,
    say: () => 'backends.file.seal = "keyfile" needs backends.file.keyfile_path',
  },
  {
    isWrong: (settings) => settings['backends.file.passphrase_env'] !== undefined && settings['backends.file.passphrase_fd'] !== undefined,
    say: () => 'set one of backends.file.passphrase_env and backends.file.passphrase_fd',
  },
  {
    isWrong: (settings) => (settings['backup.dir'] !== undefined || settings['backup.keyfile_path'] !== undefined) && (settings['backup.keyfile_path'] === undefined) === (settings['backup.passphrase_env'] === undefined),
    say: () => 'backups need one of backup.keyfile_path and backup.passphrase_env',
  },
  {
    isWrong: (settings) => settings['backup.keyfile_path'] !== undefined && settings['backup.keyfile_path'] === settings['backends.file.keyfile_path'],
    say: () => 'backup.keyfile_path is the key file of the root key: backups lie under a key of their own',
  },
  {
    isWrong: (settings) => (settings['tls.cert_path'] === undefined) !== (settings['tls.key_path'] === undefined),
    say: () => 'tls.cert_path and tls.key_path go together: set both, or none',
  },
  {
    isWrong: (settings) => settings['tls.cert_path'] === undefined && (settings['tls.client_ca_path'] !== undefined || settings['tls.require_client_cert'] || settings['tls.require_pq']),
    say: () => 'tls.client_ca_path, tls.require_client_cert and tls.require_pq are about TLS: set tls.cert_path and tls.key_path',
  },
  {
    isWrong: (settings) => settings['uds.path'] === undefined && (settings['uds.allow_uids'] !== undefined || settings['uds.allow_gids'] !== undefined),
    say: () => 'uds.allow_uids and uds.allow_gids are about the Unix socket: set uds.path',
  },
  {
    isWrong: (settings) => settings['tls.require_client_cert'] && settings['tls.client_ca_path'] === undefined,
    say: () => 'tls.require_client_cert needs tls.client_ca_path',
  },
  {
    isWrong: (settings) => !isLoopback(settings['bind_addr'].host) && settings['tls.cert_path'] === undefined,
    say: () => 'bind_addr is off loopback, which needs TLS: set tls.cert_path and tls.key_path, or bind to 127.0.0.1 or [::1]',
  },
  {
    isWrong: (settings) => mayBeGlobal(settings['bind_addr'].host) && !settings['tls.require_client_cert'],
    say: () => 'bind_addr can be reached from everywhere: require client certificates (tls.require_client_cert), or bind to an address of your own network; docs/operations.md has the review for public exposure',
  },
  {
    isWrong: (settings) => settings['auth.mode'] === 'introspect' && settings['auth.introspect_url'] === undefined,
    say: () => 'auth.mode = "introspect" needs auth.introspect_url',
  },
  {
    isWrong: (settings) => settings['auth.introspect_url'] !== undefined && !isSafeUrl(settings['auth.introspect_url']),
    say: () => 'auth.introspect_url must be https, or http on loopback: tokens travel to it',
  },
  {
    isWrong: (settings) => settings['policy.mode'] === 'http' && settings['policy.url'] === undefined,
    say: () => 'policy.mode = "http" needs policy.url',
  },
  {
    isWrong: (settings) => settings['policy.url'] !== undefined && !isSafeUrl(settings['policy.url']),
    say: () => 'policy.url must be https, or http on loopback: who answers there decides',
  },
  {
    isWrong: (settings) => settings['observability.otlp_url'] !== undefined && !isSafeUrl(settings['observability.otlp_url']),
    say: () => 'observability.otlp_url must be https, or http on loopback: traces say who uses which keys',
  },
  {
    isWrong: (settings) => settings['policy.deadline'] < 1,
    say: () => 'policy.deadline is at least 1ms',
  },
  {
    isWrong: (settings) => settings['auth.keyset_path'] !== undefined && settings['auth.keyset_fd'] !== undefined,
    say: () => 'set one of auth.keyset_path and auth.keyset_fd',
  },
  {
    isWrong: (settings) => settings['limits.max_body_bytes'] < 1024,
    say: () => 'limits.max_body_bytes is at least 1KiB',
  },
];

/** What `macronode` promises (DESIGN §1). */
const macronodeRules: readonly Rule[] = [
  {
    isWrong: (settings) => settings['tls.cert_path'] === undefined,
    say: () => 'without TLS tokens and wrapped keys travel in the clear: set tls.cert_path and tls.key_path',
  },
  {
    isWrong: (settings) => settings['service.amnesia'],
    say: () => 'service.amnesia = true forgets keys and log with the process: set it to false',
  },
  {
    isWrong: (settings) => settings['pq.verify_mode'] === 'or',
    say: () => 'pq.verify_mode = "or" takes one signature of two: set it to "and" or "pq_only"',
  },
  {
    isWrong: (settings) => settings['audit.durability'] === 'os',
    say: () => 'audit.durability = "os" may lose the last entries with the power: set it to "disk"',
  },
  {
    isWrong: (settings) => settings['audit.anchor'] === 'none',
    say: () => 'audit.anchor = "none" does not notice that the disk was rolled back: set it to "tpm", "pkcs11", "file" or "witness"',
  },
  {
    isWrong: (settings) => settings['security.attest_require'] !== 'required',
    say: (settings) => `security.attest_require = "${settings['security.attest_require']}" signs without evidence: set it to "required"`,
  },
  {
    isWrong: (settings) => settings['auth.keyset_path'] !== undefined,
    say: () => 'auth.keyset_path takes the root keys of tokens from a plain file: lend them as auth.keyset_fd or as systemd\'s ron-kms.keyset, or use auth.mode = "introspect"',
  },
  {
    isWrong: (settings) => settings['backends.file.seal'] === 'keyfile',
    say: () => 'backends.file.seal = "keyfile" leaves the root key in a plain file: set it to "tpm", "pkcs11", "cloud" or "passphrase"',
  },
  {
    isWrong: (settings) => settings['service.backend'] !== 'pkcs11' && settings['service.backend'] !== 'tpm',
    say: (settings) => `service.backend = "${settings['service.backend']}" gives no evidence of where its keys are: set it to "pkcs11" or "tpm"`,
  },
];

/** The settings by which a device or service comes into use, as they stand. */
function usesOf(settings: Settings, what: 'pkcs11' | 'tpm' | 'cloud'): readonly string[] {
  const single = (['service.backend', 'backends.file.seal', 'audit.anchor'] as const).filter((path) => settings[path] === what && !(path === 'backends.file.seal' && settings['service.amnesia']));
  return [...single, ...(settings['service.read_backends']?.some((name) => name === what) === true ? ['service.read_backends'] : [])].map((path) => `${path} = "${what}"`);
}

/** Shorter is a mistake, and would fill the log with keys. */
const KEY_ROTATION_MIN_MS = 1000;

const weaknesses: readonly { readonly isWrong: (settings: Settings) => boolean; readonly say: string }[] = [
  {
    isWrong: (settings) => settings['service.backend'] === 'inmem' && !settings['service.amnesia'],
    say: 'service.backend = "inmem": keys live in RAM and are gone when it stops; the log stays',
  },
  {
    isWrong: (settings) => settings['service.backend'] === 'pkcs11' && settings['backup.dir'] !== undefined,
    say: 'service.backend = "pkcs11": a backup has what is known of the keys, and not what the token holds: back that up with its vendor\'s tools',
  },
  {
    isWrong: (settings) => !settings['service.amnesia'] && settings['audit.anchor'] === 'none',
    say: 'audit.anchor = "none": nothing would show that the whole disk was rolled back',
  },
];

/** Of the networks that nobody else reaches (the IANA special-purpose registries): private, shared, link-local. */
const OWN_NETWORKS = new BlockList();
for (const [network, prefix] of [['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['100.64.0.0', 10], ['169.254.0.0', 16]] as const) OWN_NETWORKS.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of [['fc00::', 7], ['fe80::', 10]] as const) OWN_NETWORKS.addSubnet(network, prefix, 'ipv6');

/** 0.0.0.0 and [::] are every address there is, and a name may be any. */
function mayBeGlobal(host: string): boolean {
  if (isLoopback(host)) return false;
  const family = isIP(host);
  return family === 0 || !OWN_NETWORKS.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function isSafeUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname.replace(/^\[|\]$/g, ''))));
}
