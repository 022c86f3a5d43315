import type { ParseArgsOptionsConfig } from 'node:util';
import type { Config } from '../config/load.ts';
import type { Io, Parsed } from './command.ts';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { configKeys, configPaths, flagOf } from '../config/keys.ts';
import { ConfigError, loadConfig } from '../config/load.ts';
import { renamedKeys } from '../config/renamed.ts';
import { printable } from './printable.ts';

/** The flags of every setting, for commands that start from a configuration. */
export const settingOptions: ParseArgsOptionsConfig = {
  config: { type: 'string' },
  profile: { type: 'string' },
  ...Object.fromEntries([...configPaths, ...Object.keys(renamedKeys)].map((path) => [flagOf(path), { type: 'string' as const }])),
};

export const settingAbout: Readonly<Record<string, string>> = {
  config: 'TOML file; ./kms.toml when it is there',
  profile: 'micronode: RAM only, on loopback; macronode: hardware',
  ...Object.fromEntries(configPaths.map((path) => [flagOf(path), configKeys[path].about])),
  ...Object.fromEntries(Object.entries(renamedKeys).map(([from, { to, endsWith }]) => [flagOf(from), `is --${flagOf(to)} by now; goes with ${endsWith}`])),
};

const DEFAULT_FILE = 'kms.toml';

/** Says on standard error which settings stand there under a name that they had before. */
export function settingsFrom(parsed: Parsed, io: Io): Config {
  const config = settingsReader(parsed, io)();
  for (const what of config.renamed) io.err(`${printable(what)}; ron-kms config migrate rewrites a file\n`);
  return config;
}

/** Loads them each time anew; the file is the one that was there first, and has to be there again. */
export function settingsReader({ flags }: Parsed, io: Io): () => Config {
  const named = textOf(flags['config']) ?? io.env['RON_KMS_CONFIG'];
  const path = named ?? (existsSync(join(io.cwd, DEFAULT_FILE)) ? DEFAULT_FILE : undefined);
  const profile = textOf(flags['profile']) ?? io.env['RON_KMS_PROFILE'];
  return () => loadConfig({
    ...(path !== undefined && { file: { path, text: readConfigFile(resolve(io.cwd, path), path) } }),
    ...(profile !== undefined && { profile }),
    environment: io.env,
    flags: Object.fromEntries(Object.entries(flags).map(([name, value]) => [name, textOf(value)])),
  });
}

function readConfigFile(path: string, shown: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    throw new ConfigError(`${shown} cannot be read`);
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
