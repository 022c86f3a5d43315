import type { Kind } from './kinds.ts';
import { verifyModes } from '../core/bundle/modes.ts';
import { attestRequirements } from '../core/policy/decision.ts';
import { address, boolean, duration, integer, numbers, nvIndex, oneOf, pcrs, size, someOf, string, uuid, variableName, verifierKey } from './kinds.ts';

/**
 * The one table of settings (DESIGN §10): how each is written, its default, what it does. Flags,
 * variables, the TOML file, `config print` and docs/config.md are all read off it. A setting whose
 * feature is not built yet is not here, so setting it is an error and never a silent nothing.
 */
interface Row<T, F extends T | undefined> {
  readonly kind: Kind<T>;
  /** Undefined where there is none: the setting may be left out. */
  readonly fallback: F;
  readonly about: string;
  /** A reload may change it; of any other it says that a restart is needed. */
  readonly isLive?: true;
}

function row<T>(kind: Kind<T>, fallback: NoInfer<T>, about: string): Row<T, T> {
  return { kind, fallback, about };
}

function optional<T>(kind: Kind<T>, about: string): Row<T, undefined> {
  return { kind, fallback: undefined, about };
}

function live<T, F extends T | undefined>(setting: Row<T, F>): Row<T, F> {
  return { ...setting, isLive: true };
}

export const configKeys = {
  'bind_addr': row(address, { host: '127.0.0.1', port: 9446 }, 'where the API listens; off loopback only with TLS'),
  'metrics_addr': row(address, { host: '127.0.0.1', port: 9909 }, 'where /healthz, /readyz, /metrics and /version listen'),
  'max_conns': row(integer(1, 65_536), 1024, 'open connections'),
  'max_conns_per_peer': row(integer(1, 65_536), 512, 'open connections from one address'),
  'read_timeout': row(duration, 5000, 'for a whole request to arrive'),
  'write_timeout': row(duration, 5000, 'for an answer to be taken: who does not read is cut off'),
  'idle_timeout': row(duration, 60_000, 'a connection may wait for its next request'),
  'uds.path': optional(string, 'Unix socket that the API listens on as well; its directory is 0700, itself 0600'),
  'uds.allow_uids': optional(numbers, 'users that may connect there; left out with uds.allow_gids, the service\'s own'),
  'uds.allow_gids': optional(numbers, 'groups that may connect there'),
  'tls.cert_path': optional(string, 'certificate chain of the API, PEM; with tls.key_path, and read again when it changes'),
  'tls.key_path': optional(string, 'its private key, PEM, mode 0600'),
  'tls.client_ca_path': optional(string, 'CAs of client certificates, PEM: who has one of them may use tokens for it'),
  'tls.require_client_cert': row(boolean, false, 'refuse connections without a client certificate'),
  'tls.require_pq': row(boolean, false, 'refuse connections whose key exchange is not X25519MLKEM768'),
  'service.backend': row(oneOf(['inmem', 'file', 'pkcs11', 'tpm', 'cloud']), 'file', 'who holds the private keys'),
  'service.read_backends': optional(someOf(['file', 'pkcs11', 'tpm', 'cloud']), 'backends whose keys are still opened, while each key is rotated to service.backend, which alone signs and wraps'),
  'service.amnesia': row(boolean, false, 'keys and log in RAM only, gone with the process'),
  'service.allow_sign_fallback': row(boolean, false, 'let another backend sign when the first is out; only where its keys are proven the same'),
  'service.instance_id': optional(uuid, 'the log that audit.dir must hold, as init named it; another one is refused'),
  'service.allowed_algs': live(row(someOf(['ed25519', 'ml-dsa', 'x25519', 'ml-kem']), ['ed25519', 'ml-dsa', 'x25519', 'ml-kem'], 'algorithms in use; a combined one needs both of its parts')),
  'service.allowed_aeads': live(row(someOf(['chacha20-poly1305', 'aes-256-gcm']), ['chacha20-poly1305', 'aes-256-gcm'], 'AEADs in use; the first one seals to KEM keys')),
  'security.attest_require': live(row(oneOf(attestRequirements), 'if-available', 'evidence of key residency')),
  'security.attest_classes': live(row(someOf(['pkcs11', 'pkcs11-wrapped', 'tpm-sealed']), ['pkcs11', 'pkcs11-wrapped', 'tpm-sealed'], 'how a key may be held where evidence is required (docs/formats/evidence.md)')),
  'security.sign_rate_limit_rps': live(row(integer(0, 10_000_000), 500, 'signatures per second of this instance; 0 is no limit')),
  'security.time_skew_tolerance_ms': live(row(integer(0, 600_000), 2000, 'how far clocks may be apart')),
  'security.clock_sync_required': live(row(boolean, false, 'doubt the wall clock while the kernel says that nothing (NTP, PTP) keeps it right')),
  'security.max_inflight_sign': live(row(integer(1, 65_536), 512, 'private-key operations at once')),
  'security.max_inflight_verify': live(row(integer(1, 65_536), 1024, 'verifications at once')),
  'limits.decompress_ratio_cap': live(row(integer(1, 1000), 10, 'how many times larger a compressed body may become, unpacked; never over limits.max_body_bytes')),
  'limits.max_body_bytes': row(size, 1024 ** 2, 'the largest body'),
  'keys.destroy_min_after': live(row(duration, 86_400_000, 'the shortest time between asking for a destruction and it')),
  'pq.produce_hybrid': live(row(boolean, true, 'hybrid keys give both signatures')),
  'pq.verify_mode': live(row(oneOf(verifyModes), 'and', 'what a verify has to find: or, pq_only, and')),
  'pq.rollout_percent': live(row(integer(0, 100), 100, 'the share of tenants that the pq settings apply to')),
  'audit.dir': row(string, './kms-audit', 'where the log, its keys and its identity lie; made by init, written by one process'),
  'audit.checkpoint_interval_ops': row(integer(1, 1_000_000), 5000, 'entries after which the log is signed, if a second has not passed before'),
  'audit.durability': row(oneOf(['disk', 'os']), 'disk', 'what an answer waits for: its entry on the disk, or with the kernel, which flushes it within 100 ms; mutations always wait for the disk'),
  'audit.anchor': row(oneOf(['none', 'file', 'witness', 'tpm', 'pkcs11']), 'none', 'what shows that the whole disk was rolled back'),
  'audit.anchor_path': optional(string, 'file of the anchor, on another medium than audit.dir'),
  'audit.anchor_interval': row(duration, 3_600_000, 'the longest time between two anchorings while entries come; mutations are anchored at once'),
  'audit.witness_url': optional(string, 'a C2SP tlog-witness, without the last part add-checkpoint'),
  'audit.witness_vkey': optional(verifierKey, 'its key'),
  'audit.key_rotation': row(duration, 90 * 86_400_000, 'how old the keys that sign the log become'),
  'audit.key_overlap': row(duration, 30 * 86_400_000, 'how long the keys before them sign on'),
  'audit.memory_max': row(size, 64 * 1024 ** 2, 'how much of the log is kept in RAM under amnesia'),
  'audit.verify_cache_ttl_ms': live(row(integer(0, 86_400_000), 300_000, 'how long a verify goes on with the public keys it knows while the backend is out')),
  'auth.mode': row(oneOf(['keyset', 'introspect']), 'keyset', 'who vouches for tokens'),
  'auth.keyset_path': optional(string, 'file with the root keys lent to this service, mode 0600'),
  'auth.keyset_fd': optional(integer(3, 1023), 'file descriptor with the key set, read once at start'),
  'auth.introspect_url': optional(string, 'who is asked whether a token is active'),
  'auth.revocations_path': optional(string, 'file with revoked ids'),
  'auth.max_token_lifetime': live(row(duration, 30 * 86_400_000, 'the longest life of a token')),
  'policy.mode': live(row(oneOf(['builtin', 'http']), 'builtin', 'who decides: these settings, or a policy service as well, which can only be stricter')),
  'policy.url': live(optional(string, 'the policy service, in the form of OPA\'s Data API (docs/runbooks/policy.md)')),
  'policy.deadline': live(row(duration, 250, 'for its whole answer; without one, all but verify and reads is refused')),
  'policy.cache_ttl': live(row(duration, 5000, 'how long an answer is good for the same question; 0s asks each time')),
  'backends.file.dir': row(string, './kms-sealed', 'where the keys lie, sealed; written by one process'),
  'backends.file.kdf': row(oneOf(['argon2id', 'scrypt']), 'argon2id', 'what stretches the passphrase; a root key under the other one is sealed anew at the next start'),
  'backends.file.aead': row(oneOf(['chacha20poly1305', 'aes256gcm']), 'chacha20poly1305', 'what private parts are sealed with; what was sealed with the other one still opens'),
  'backends.file.cache_keys': row(integer(1, 10_000_000), 10_000, 'keys that stay in memory once they were used; those of them that fit into 24 MiB stay unsealed: 700 hybrid ones, or all of Ed25519'),
  'backends.file.seal': row(oneOf(['passphrase', 'keyfile', 'tpm', 'pkcs11', 'cloud']), 'passphrase', 'what the root key lies under'),
  'backends.file.keyfile_path': optional(string, 'the key file, mode 0600, on another medium than audit.dir'),
  'backends.file.passphrase_env': optional(variableName, 'name of the variable with the passphrase'),
  'backends.file.passphrase_fd': optional(integer(0, 1023), 'file descriptor with the passphrase, read once at start; or systemd lends it as ron-kms.passphrase'),
  'backends.pkcs11.module_path': optional(string, 'the vendor\'s PKCS #11 module, a shared library'),
  'backends.pkcs11.slot_label': optional(string, 'the label of the token that holds the keys'),
  'backends.pkcs11.standby_slot_label': optional(string, 'a second token with the same keys, by its vendor\'s cloning, and the same PIN; with service.allow_sign_fallback it signs while the first is out'),
  'backends.pkcs11.pin_env': optional(variableName, 'name of the variable with the PIN of its user'),
  'backends.pkcs11.pin_path': optional(string, 'file with that PIN, mode 0600; without either it is asked for at a terminal'),
  'backends.pkcs11.sessions': row(integer(1, 256), 16, 'how many calls are at the token at once, each in a session of its own'),
  'backends.tpm.device': row(string, '/dev/tpmrm0', 'the TPM 2.0: its device, or the socket or loopback port of a simulator'),
  'backends.tpm.pcrs': row(pcrs, [7], 'the PCRs (SHA-256) that the root key is sealed to; 7 is the state of Secure Boot'),
  'backends.tpm.pin_env': optional(variableName, 'name of the variable with a PIN that the TPM asks for as well'),
  'backends.tpm.pin_path': optional(string, 'file with that PIN, mode 0600'),
  'backends.tpm.owner_auth_env': optional(variableName, 'name of the variable with the password of the TPM\'s owner, where it has one'),
  'backends.tpm.nv_index': row(nvIndex, 0x0180_0a10, 'where in the TPM the anchor counts; it takes the next one, too'),
  'backends.cloud.provider': optional(oneOf(['aws-kms', 'google-kms', 'vault-transit']), 'which key service keys lie under'),
  'backends.cloud.key': optional(string, 'the key there: an ARN or id, a resource name, or a name'),
  'backends.cloud.region': optional(string, 'region of AWS KMS, where the key is no ARN'),
  'backends.cloud.endpoint': optional(string, 'another address of the service; of Vault or OpenBao its own'),
  'backends.cloud.mount': row(string, 'transit', 'where the transit engine of Vault or OpenBao is mounted'),
  'backends.cloud.token_env': optional(variableName, 'name of the variable with the token for Vault or OpenBao'),
  'backends.cloud.token_path': optional(string, 'file with that token, mode 0600, as their agent renews it'),
  'backends.cloud.deadline': row(duration, 1500, 'for one call there'),
  'backends.cloud.wait': row(duration, 300_000, 'how long a start waits for it'),
  'backup.dir': optional(string, 'where backups are written, on another medium than the keys'),
  'backup.keyfile_path': optional(string, 'the key file that backups lie under, mode 0600; another one than that of the root key'),
  'backup.passphrase_env': optional(variableName, 'name of the variable with the passphrase that backups lie under'),
  'observability.redact_level': live(row(oneOf(['hashes', 'lengths', 'none']), 'hashes', 'how kids stand in the log')),
  'observability.log_inputs': live(row(boolean, false, 'a line for each request with the names of its fields and how long they are; never what is in them')),
  'observability.correlation_id_mode': row(oneOf(['uuidv7', 'uuidv4']), 'uuidv7', 'what the ids of requests are made as; uuidv4 tells no time'),
  'observability.otlp_url': optional(string, 'collector of OpenTelemetry traces, OTLP/HTTP: https://…/v1/traces; left out, there are none'),
  'observability.trace_percent': row(integer(0, 100), 100, 'of a hundred traces, how many are collected'),
} as const;

export type ConfigPath = keyof typeof configKeys;

/** The settings of a running service, by their path. */
export type Settings = { readonly [P in ConfigPath]: (typeof configKeys)[P] extends Row<infer T, infer F> ? T | F : never };

/** What may stand under `tenants.<name>`; the names are the operator's own. */
export const tenantKeys = {
  'verify_mode': oneOf(verifyModes),
  'produce_hybrid': boolean,
  'classical_ok': boolean,
  'attest_require': oneOf(attestRequirements),
  'quotas.rps': integer(0, 10_000_000),
  'quotas.inflight': integer(0, 65_536),
  'quotas.keys': integer(0, 100_000_000),
} as const;

export const configPaths = Object.keys(configKeys) as readonly ConfigPath[];

export const profileNames = ['micronode', 'macronode'] as const;
export type ProfileName = (typeof profileNames)[number];

/** Presets below file, environment and flags. */
export const profiles: Readonly<Record<ProfileName, Partial<Settings>>> = {
  micronode: { 'service.backend': 'inmem', 'service.amnesia': true, 'pq.verify_mode': 'or' },
  macronode: { 'service.backend': 'pkcs11', 'security.attest_require': 'required', 'pq.verify_mode': 'and' },
};

export function variableOf(path: string): string {
  return `RON_KMS_${path.replaceAll('.', '_').toUpperCase()}`;
}

export function flagOf(path: string): string {
  return path.replaceAll(/[._]/g, '-');
}
