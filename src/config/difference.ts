import type { Config } from './load.ts';
import { canonicalJson } from '../core/canonical-json.ts';
import { blake3Hex } from '../core/digest.ts';
import { configKeys, configPaths } from './keys.ts';
import { shown, shownTenants } from './shown.ts';

/** One setting that is another one than before; values as `config print` shows them, null where there is none. */
export interface SettingChange {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly isLive: boolean;
}

const VERSION_DIGITS = 16;

/** What differs, in the order of the table; then the rules of tenants. */
export function differencesOf(before: Config, after: Config): readonly SettingChange[] {
  const [was, is] = [linesOf(before), linesOf(after)];
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((key) => {
    const [from, to] = [was.get(key) ?? NOTHING, is.get(key) ?? NOTHING];
    return from === to ? [] : [{ key, from, to, isLive: isLive(key) }];
  });
}

/** Names the configuration in the log: the same settings, the same name. */
export function versionOf(config: Config): string {
  return blake3Hex(canonicalJson(Object.fromEntries(linesOf(config)))).slice(0, VERSION_DIGITS);
}

const NOTHING = 'null';

function linesOf(config: Config): ReadonlyMap<string, string> {
  return new Map([
    ['profile', JSON.stringify(config.profile ?? null)],
    ...configPaths.map((path) => [path, JSON.stringify(shown(path, config.settings[path]))] as const),
    ...Object.entries(shownTenants(config)).flatMap(([name, rules]) => Object.entries(rules).map(([rule, value]) => [`tenants.${name}.${rule}`, JSON.stringify(value)] as const)),
  ]);
}

function isLive(key: string): boolean {
  return key.startsWith('tenants.') || (key in configKeys && (configKeys as Readonly<Record<string, { readonly isLive?: true }>>)[key]?.isLive === true);
}
