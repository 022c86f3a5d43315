/** What `ron-kms init` is told of devices, and what it makes on them. */
import type { DeviceSealName } from '../adapters/root-key/key-device.ts';
import type { Parsed } from '../cli/command.ts';
import type { ConfigPath, Settings } from '../config/keys.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import type { Devices } from './devices.ts';
import { createTpmAnchor } from '../adapters/anchor-tpm/anchor.ts';
import { removeTpmCounter } from '../adapters/tpm/nv.ts';
import { UsageError } from '../cli/command.ts';
import { flag } from '../cli/flags.ts';
import { configKeys } from '../config/keys.ts';
import { reasonOf } from '../core/reason.ts';

/** Flags of `init`, each with the setting that it writes. */
const FLAGS = {
  'module-path': 'backends.pkcs11.module_path', 'slot-label': 'backends.pkcs11.slot_label', 'pin-env': 'backends.pkcs11.pin_env', 'pin-path': 'backends.pkcs11.pin_path',
  'tpm-device': 'backends.tpm.device', 'tpm-pcrs': 'backends.tpm.pcrs', 'tpm-pin-env': 'backends.tpm.pin_env', 'tpm-pin-path': 'backends.tpm.pin_path', 'tpm-owner-auth-env': 'backends.tpm.owner_auth_env', 'tpm-nv-index': 'backends.tpm.nv_index',
  'cloud-provider': 'backends.cloud.provider', 'cloud-key': 'backends.cloud.key', 'cloud-region': 'backends.cloud.region', 'cloud-endpoint': 'backends.cloud.endpoint', 'cloud-mount': 'backends.cloud.mount',
  'cloud-token-env': 'backends.cloud.token_env', 'cloud-token-path': 'backends.cloud.token_path',
} as const satisfies Readonly<Record<string, ConfigPath>>;

type DeviceFlag = keyof typeof FLAGS;
const names = Object.keys(FLAGS) as readonly DeviceFlag[];

export const deviceOptions = Object.fromEntries(names.map((name) => [name, { type: 'string' }])) as Readonly<Record<DeviceFlag, { readonly type: 'string' }>>;
export const deviceAbout = Object.fromEntries(names.map((name) => [name, configKeys[FLAGS[name]].about])) as Readonly<Record<DeviceFlag, string>>;

/** A line of the settings file: a value as TOML has it. */
export type SettingLine = readonly [path: ConfigPath, value: string];

/** What the flags say of the devices that are used; a flag of one that is not is a mistake. */
export function deviceSettings(parsed: Parsed, used: ReadonlySet<DeviceSealName>): readonly SettingLine[] {
  return names.flatMap((name): readonly SettingLine[] => {
    const text = flag(parsed, name);
    if (text === undefined) return [];
    const path = FLAGS[name];
    if (![...used].some((device) => path.startsWith(`backends.${device}.`))) throw new UsageError(`--${name} is for --backend or --seal ${path.split('.')[1]}`);
    const { kind } = configKeys[path];
    const value = kind.fromText(text);
    if (value === undefined) throw new UsageError(`--${name} is ${kind.form}`);
    return [[path, typeof value === 'string' ? JSON.stringify(value) : Array.isArray(value) ? `[${value.join(', ')}]` : JSON.stringify((kind.show as (one: unknown) => unknown)(value))]];
  });
}

/** What is wrong with the settings that `init` would write, by its own flags too. */
export function inFlags(fault: unknown): Error {
  const says = reasonOf(fault);
  const flags = names.filter((name) => says.includes(FLAGS[name])).map((name) => `--${name}`);
  return flags.length === 0 && fault instanceof Error ? fault : new UsageError(`${says}: give ${flags.join(' and ')}`);
}

/** The TPM's counter, so that what is missing there shows itself now. What takes it back is given. */
export async function makeCounter(settings: Settings, devices: Devices, signer: LogSigner): Promise<() => Promise<unknown>> {
  const index = settings['backends.tpm.nv_index'];
  await createTpmAnchor({ tpm: devices.tpm(), index, mac: signer.mac }).make();
  return () => removeTpmCounter(devices.tpm(), index);
}

/** Where everything lies that was made, and what it is good for, in words. */
export function stepsOf(settings: Settings): readonly string[] {
  const { 'service.backend': backend, 'backends.file.seal': seal, 'audit.anchor': anchor } = settings;
  const token = `the token ${settings['backends.pkcs11.slot_label']}`;
  const pcrs = settings['backends.tpm.pcrs'];
  const says: Readonly<Record<string, string>> = {
    'seal tpm': `The root key is sealed by the TPM ${settings['backends.tpm.device']}: it opens on this machine alone, while PCR ${pcrs.join(', ')} (SHA-256) ${pcrs.length === 1 ? 'is' : 'are'} as now${settings['backends.tpm.pin_env'] ?? settings['backends.tpm.pin_path'] ? ', with the PIN' : ''}.`,
    'seal pkcs11': `The root key is sealed by an AES key of ${token}, made there and never to leave it.`,
    'seal cloud': `The root key is sealed by ${settings['backends.cloud.provider']}, key ${settings['backends.cloud.key']}: a start asks there, and waits up to ${Math.round(settings['backends.cloud.wait'] / 1000)} s.`,
    'backend tpm': 'Keys lie under that root key (class tpm-sealed), and work in the memory of the service. The TPM gives evidence of it: quotes by a key of its own.',
    'backend pkcs11': `Ed25519, X25519 and AES keys are made in ${token} and used there (class pkcs11); what it has no mechanism for is sealed by a key of it (pkcs11-wrapped). The log's Ed25519 key is one of them.`,
    'backend cloud': 'AES and ChaCha20 keys wrap by the key service each time (class cloud); the others lie under that root key (cloud-sealed).',
    'anchor tpm': `The TPM's counter at NV index 0x${settings['backends.tpm.nv_index'].toString(16).padStart(8, '0')} shows a disk that was rolled back.`,
    'anchor pkcs11': `A private object of ${token} shows a disk that was rolled back.`,
  };
  const advice: Readonly<Record<string, string>> = {
    tpm: 'A TPM that breaks or is cleared, or firmware that changes, takes the root key with it: set backup.dir and make a backup under a passphrase before you rely on it.',
    pkcs11: 'The token is not in a backup of this service: back it up with its vendor\'s tools.',
    cloud: 'Whoever deletes that key there deletes these: keep a backup under a passphrase (backup.dir).',
  };
  return [`seal ${seal}`, `backend ${backend}`, `anchor ${anchor}`].flatMap((name) => says[name] ?? []).concat(advice[backend === 'file' ? seal : backend] ?? []);
}
