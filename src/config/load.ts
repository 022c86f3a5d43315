import type { TenantRules } from '../core/policy/decision.ts';
import type { ConfigPath, ProfileName, Settings } from './keys.ts';
import type { Kind } from './kinds.ts';
import { parse as parseToml } from 'smol-toml';
import { NAME_PATTERN } from '../core/key/kid.ts';
import { configKeys, configPaths, flagOf, profileNames, profiles, tenantKeys, variableOf } from './keys.ts';
import { formerNames, renamedKeys } from './renamed.ts';

/** A setting that cannot be used: one clear line for the operator. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export interface ConfigSources {
  /** Text of the TOML file, and what to call it in messages. */
  readonly file?: { readonly path: string; readonly text: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By flag name, without dashes. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly profile?: string;
}

export interface Config {
  readonly profile: ProfileName | undefined;
  readonly settings: Settings;
  /** Where each value came from, in words. */
  readonly sources: Readonly<Record<ConfigPath, string>>;
  readonly tenants: ReadonlyMap<string, TenantRules>;
  /** What was given under a name that it had before; each in words. */
  readonly renamed: readonly string[];
}

type Table = Readonly<Record<string, unknown>>;

const TENANT = new RegExp(`^${NAME_PATTERN}$`);

/** Flags over environment over file over profile over defaults (DESIGN §10). Throws `ConfigError` on anything unknown or wrong. */
export function loadConfig({ file, environment, flags, profile: asked }: ConfigSources): Config {
  const { profile: filed, tenants: tenantTables, ...table } = file === undefined ? {} : readToml(file);
  const flat = flatten(table);
  const unknown = [...flat.keys()].find((path) => !(path in configKeys) && !Object.hasOwn(renamedKeys, path));
  if (unknown !== undefined) throw new ConfigError(`${file?.path}: ${unknown} is not a setting of this version`);

  const profile = readProfile(asked ?? filed);
  const settings: Record<string, unknown> = {};
  const sources: Record<string, string> = {};
  const renamed: string[] = [];
  for (const path of configPaths) {
    const { value, source, former } = pick(path, { flags, environment, flat, filePath: file?.path ?? '', profile });
    settings[path] = value;
    sources[path] = source;
    if (former !== undefined) renamed.push(former);
  }
  refuseUnknownVariables(environment, [settings['backends.file.passphrase_env'], settings['backup.passphrase_env']]);
  // Every path of the table was read by the kind of its row, so the record is one of settings.
  return { profile, settings: settings as Settings, sources: sources as Config['sources'], tenants: readTenants(tenantTables, file?.path ?? ''), renamed };
}

interface Layers {
  readonly flags: ConfigSources['flags'];
  readonly environment: ConfigSources['environment'];
  readonly flat: ReadonlyMap<string, unknown>;
  readonly filePath: string;
  readonly profile: ProfileName | undefined;
}

interface Picked {
  readonly value: unknown;
  readonly source: string;
  /** It stands there under the name that it had before: said with what to write instead. */
  readonly former?: string;
}

/** One place that a setting may stand, under whatever name it has there. */
interface Layer {
  readonly nameOf: (path: string) => string;
  /** The same, once it was said where. */
  readonly hereOf?: (path: string) => string;
  readonly valueOf: (path: string) => unknown;
  readonly read: (kind: Kind<unknown>, value: unknown) => unknown;
  readonly sourceOf: (path: string) => string;
}

const layersOf = ({ flags, environment, flat, filePath }: Layers): readonly Layer[] => [
  { nameOf: (path) => `--${flagOf(path)}`, valueOf: (path) => flags[flagOf(path)], read: fromText, sourceOf: (path) => `flag --${flagOf(path)}` },
  { nameOf: variableOf, valueOf: (path) => environment[variableOf(path)], read: fromText, sourceOf: (path) => `environment ${variableOf(path)}` },
  { nameOf: (path) => `${filePath}: ${path}`, hereOf: (path) => path, valueOf: (path) => flat.get(path), read: (kind, value) => kind.fromToml(value), sourceOf: () => `file ${filePath}` },
];

function fromText(kind: Kind<unknown>, value: unknown): unknown {
  return kind.fromText(value as string);
}

function pick(path: ConfigPath, layers: Layers): Picked {
  const { kind, fallback } = configKeys[path] as { kind: Kind<unknown>; fallback: unknown };
  const former = formerNames.get(path);
  for (const { nameOf, hereOf = nameOf, valueOf, read, sourceOf } of layersOf(layers)) {
    const [value, formerValue] = [valueOf(path), former === undefined ? undefined : valueOf(former)];
    if (value !== undefined && formerValue !== undefined) throw new ConfigError(`${nameOf(former ?? path)} is ${hereOf(path)} by now, and both are set: take the first one out`);
    if (value !== undefined) return { value: fit(read(kind, value), nameOf(path), kind), source: sourceOf(path) };
    if (former !== undefined && formerValue !== undefined) {
      return { value: fit(read(kind, formerValue), nameOf(former), kind), source: sourceOf(former), former: `${nameOf(former)} is ${hereOf(path)} by now, and that name alone from version ${renamedKeys[former]?.endsWith ?? ''} on` };
    }
  }
  const { profile } = layers;
  if (profile !== undefined && path in profiles[profile]) return { value: profiles[profile][path], source: `profile ${profile}` };
  return { value: fallback, source: 'default' };
}

/** The value, when its kind could read it; the wrong one itself is not repeated, it may be a secret in the wrong place. */
function fit<T>(value: T | undefined, name: string, { form }: { readonly form: string }): T {
  if (value === undefined) throw new ConfigError(`${name} must be ${form}`);
  return value;
}

function readToml({ path, text }: { readonly path: string; readonly text: string }): Table {
  try {
    return parseToml(text);
  } catch (fault) {
    const line = fault instanceof Error && 'line' in fault ? ` (line ${String(fault.line)})` : '';
    throw new ConfigError(`${path} is not TOML${line}`);
  }
}

function flatten(table: Table, prefix = ''): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  for (const [name, value] of Object.entries(table)) {
    const path = prefix + name;
    if (isTable(value) && !(path in configKeys)) for (const [inner, item] of flatten(value, `${path}.`)) flat.set(inner, item);
    else flat.set(path, value);
  }
  return flat;
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function readProfile(name: unknown): ProfileName | undefined {
  if (name === undefined) return undefined;
  const profile = profileNames.find((known) => known === name);
  if (profile === undefined) throw new ConfigError(`profile must be one of ${profileNames.join(', ')}`);
  return profile;
}

function readTenants(tables: unknown, filePath: string): ReadonlyMap<string, TenantRules> {
  const tenants = new Map<string, TenantRules>();
  if (tables === undefined) return tenants;
  if (!isTable(tables)) throw new ConfigError(`${filePath}: tenants must be a table of tables`);
  for (const [name, rules] of Object.entries(tables)) {
    if (!TENANT.test(name) || !isTable(rules)) throw new ConfigError(`${filePath}: tenants.${name} must be a tenant's name and a table`);
    const flat = flatten(rules);
    const unknown = [...flat.keys()].find((key) => !Object.hasOwn(tenantKeys, key));
    if (unknown !== undefined) throw new ConfigError(`${filePath}: tenants.${name}.${unknown} is not a setting of this version`);
    const read = <T>(key: keyof typeof tenantKeys, kind: Kind<T>): T | undefined =>
      flat.has(key) ? fit(kind.fromToml(flat.get(key)), `${filePath}: tenants.${name}.${key}`, kind) : undefined;
    tenants.set(name, definedOnly({
      verifyMode: read('verify_mode', tenantKeys.verify_mode),
      produceHybrid: read('produce_hybrid', tenantKeys.produce_hybrid),
      classicalOk: read('classical_ok', tenantKeys.classical_ok),
      attestRequire: read('attest_require', tenantKeys.attest_require),
      quotas: definedOnly({
        rps: read('quotas.rps', tenantKeys['quotas.rps']),
        inFlight: read('quotas.inflight', tenantKeys['quotas.inflight']),
        keys: read('quotas.keys', tenantKeys['quotas.keys']),
      }),
    }));
  }
  return tenants;
}

/** A misspelt variable would otherwise be a default in silence. The one with the passphrase has a name of the operator's choice. */
function refuseUnknownVariables(environment: ConfigSources['environment'], passphraseVariables: readonly unknown[]): void {
  const known = new Set<unknown>([...passphraseVariables, ...configPaths.map(variableOf), ...Object.keys(renamedKeys).map(variableOf), 'RON_KMS_CONFIG', 'RON_KMS_PROFILE', 'RON_KMS_URL', 'RON_KMS_TOKEN', 'RON_KMS_CA_FILE']);
  const unknown = Object.keys(environment).find((name) => name.startsWith('RON_KMS_') && !known.has(name));
  if (unknown !== undefined) throw new ConfigError(`${unknown} is not a setting of this version`);
}

function definedOnly<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
