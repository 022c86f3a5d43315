import type { KdfName } from '../adapters/root-key/kdf.ts';
import type { DeviceSealName } from '../adapters/root-key/key-device.ts';
import type { SealName } from '../adapters/root-key/root-key.ts';
import type { Settings } from '../config/keys.ts';
import type { SettingLine } from './init-devices.ts';
import type { Io, Parsed } from '../cli/command.ts';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { originOf, readIdentity } from '../adapters/log-keys/identity.ts';
import { isMissing } from '../adapters/audit-file/file-layer.ts';
import { durableFile } from '../adapters/files/durable-file.ts';
import { UsageError } from '../cli/command.ts';
import { flag, isOn, oneOf } from '../cli/flags.ts';
import { deviceSealNames } from '../adapters/root-key/key-device.ts';
import { kdfNames } from '../adapters/root-key/kdf.ts';
import { configKeys } from '../config/keys.ts';
import { deviceSettings } from './init-devices.ts';
import { INSTANCE_FILES } from './open-instance.ts';

/** What `ron-kms init` is to make, and where; every path absolute, as a service may be started from anywhere. */
export interface InitPlan {
  readonly auditDir: string;
  readonly sealedDir: string;
  readonly configPath: string;
  readonly backend: Backend;
  readonly seal: SealName;
  readonly anchor: Settings['audit.anchor'];
  /** As the flags say. */
  readonly devices: readonly SettingLine[];
  readonly kdf: KdfName;
  /** With the seal `keyfile` only. */
  readonly keyfilePath: string | undefined;
  readonly passphraseEnv: string | undefined;
  readonly passphraseFd: number | undefined;
  /** A developer's key set, where one is asked for. */
  readonly keysetPath: string | undefined;
}

const backends = ['file', 'pkcs11', 'tpm', 'cloud'] as const;
type Backend = (typeof backends)[number];
const DEFAULTS = { configPath: 'kms.toml', keyfilePath: 'kms-root.key', keysetName: 'kms-dev-keyset.json' } as const;
/** A volume of its own has this from the beginning. */
const NOT_OURS = 'lost+found';
const OUTSIDE = /^\.\.(\/|$)/;

export function planFrom(parsed: Parsed, { cwd }: Io): InitPlan {
  const at = (path: string): string => resolve(cwd, path);
  const backend = oneOf(parsed, 'backend', backends) ?? 'file';
  const seal = oneOf(parsed, 'seal', ['passphrase', 'keyfile', ...deviceSealNames]) ?? (backend === 'file' ? configKeys['backends.file.seal'].fallback : backend);
  const anchor = oneOf(parsed, 'anchor', ['none', 'tpm', 'pkcs11']) ?? (backend === 'tpm' || backend === 'pkcs11' ? backend : 'none');
  const used = new Set<DeviceSealName>([backend, seal, anchor].flatMap((name) => deviceSealNames.find((device) => device === name) ?? []));
  const configPath = at(flag(parsed, 'config') ?? DEFAULTS.configPath);
  const plan: InitPlan = {
    auditDir: at(flag(parsed, 'audit-dir') ?? configKeys['audit.dir'].fallback),
    sealedDir: at(flag(parsed, 'sealed-dir') ?? configKeys['backends.file.dir'].fallback),
    kdf: oneOf(parsed, 'kdf', kdfNames) ?? configKeys['backends.file.kdf'].fallback,
    configPath, backend, seal, anchor,
    devices: deviceSettings(parsed, used),
    keyfilePath: seal === 'keyfile' ? at(flag(parsed, 'keyfile-path') ?? DEFAULTS.keyfilePath) : undefined,
    passphraseEnv: read(parsed, 'passphrase-env', configKeys['backends.file.passphrase_env'].kind),
    passphraseFd: read(parsed, 'passphrase-fd', configKeys['backends.file.passphrase_fd'].kind),
    keysetPath: isOn(parsed, 'dev-keyset') ? join(dirname(configPath), DEFAULTS.keysetName) : undefined,
  };
  refuseStrayFlags(parsed, seal);
  return plan;
}

/** The value of a flag as a setting would take it; a wrong one is not repeated, it may be the secret itself. */
function read<T>(parsed: Parsed, name: string, kind: { readonly form: string; readonly fromText: (text: string) => T | undefined }): T | undefined {
  const text = flag(parsed, name);
  const value = text === undefined ? undefined : kind.fromText(text);
  if (text !== undefined && value === undefined) throw new UsageError(`--${name} is ${kind.form}`);
  return value;
}

function refuseStrayFlags(parsed: Parsed, seal: SealName): void {
  const ofPassphrase = ['passphrase-env', 'passphrase-fd', 'kdf'];
  const ofOther = [...(seal === 'passphrase' ? [] : ofPassphrase), ...(seal === 'keyfile' ? [] : ['keyfile-path'])];
  const stray = ofOther.find((name) => flag(parsed, name) !== undefined);
  if (stray !== undefined) throw new UsageError(`--${stray} is not for the seal ${seal}: give --seal ${ofPassphrase.includes(stray) ? 'passphrase' : 'keyfile'} with it`);
  if (flag(parsed, 'passphrase-env') !== undefined && flag(parsed, 'passphrase-fd') !== undefined) throw new UsageError('give one of --passphrase-env and --passphrase-fd');
}

/** Refuses to touch what is there: nothing that init makes can be made again. */
export async function requireFree({ auditDir, sealedDir, configPath, keyfilePath, keysetPath }: InitPlan): Promise<void> {
  for (const path of [configPath, keyfilePath, keysetPath].filter((one) => one !== undefined)) {
    if (!OUTSIDE.test(relative(auditDir, path))) throw new UsageError(`${path} lies inside the audit directory, which is the log's alone: choose another place`);
    if (existsSync(path)) throw new UsageError(`${path} is there already, and is not overwritten`);
    if (!existsSync(dirname(path))) throw new UsageError(`${dirname(path)} is not there: make the directory first`);
  }
  if (!OUTSIDE.test(relative(auditDir, sealedDir)) || !OUTSIDE.test(relative(sealedDir, auditDir))) throw new UsageError('keys and log lie in directories of their own: choose another --sealed-dir');
  const found = await namesIn(auditDir);
  if (found.includes(INSTANCE_FILES.identity)) throw new UsageError(`${auditDir} already has an identity${await nameOf(auditDir)}: choose another --audit-dir`);
  if (found.length > 0) throw new UsageError(`${auditDir} is not empty and has no identity: an init was cut short there, or it is for something else; empty it, or choose another --audit-dir`);
  if ((await namesIn(sealedDir)).length > 0) throw new UsageError(`${sealedDir} is not empty: keys may lie there; choose another --sealed-dir`);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter((name) => name !== NOT_OURS);
  } catch (fault) {
    if (isMissing(fault)) return [];
    throw new UsageError(`${directory} cannot be used: it is not a directory that can be read`);
  }
}

async function nameOf(auditDir: string): Promise<string> {
  const identity = await readIdentity(durableFile(join(auditDir, INSTANCE_FILES.identity))).catch(() => undefined);
  return identity === undefined ? '' : `, ${originOf(identity.instanceId)}`;
}
