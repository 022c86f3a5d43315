import type { Config } from '../config/load.ts';
import type { Command } from './command.ts';
import type { ConfigPath } from '../config/keys.ts';
import type { Kind } from '../config/kinds.ts';
import { checkConfig } from '../config/check.ts';
import { configKeys, configPaths } from '../config/keys.ts';
import { print } from './answer.ts';
import { EXIT } from './exit-codes.ts';
import { printable } from './printable.ts';
import { settingAbout, settingOptions, settingsFrom } from './settings.ts';

const flags: Pick<Command, 'options' | 'about'> = {
  options: { ...settingOptions, json: { type: 'boolean' } },
  about: { ...settingAbout, json: 'print it as JSON' },
};

const checkCommand: Command = {
  name: 'config check',
  summary: 'Say whether a service could start with this configuration',
  example: 'config check --config kms.toml',
  ...flags,
  async run(parsed, io) {
    const config = settingsFrom(parsed, io);
    checkConfig(config);
    print(parsed, io, { ok: true, profile: config.profile ?? 'none' }, () => `the configuration is good (profile ${config.profile ?? 'none'})`);
    return EXIT.ok;
  },
};

const printCommand: Command = {
  name: 'config print',
  summary: 'Show every setting with its value and where that comes from',
  example: 'config print --profile micronode',
  ...flags,
  async run(parsed, io) {
    const config = settingsFrom(parsed, io);
    const settings = rowsOf(config);
    const tenants = tenantsOf(config);
    print(parsed, io, { profile: config.profile ?? 'none', settings, tenants }, () => textOf(config, settings, tenants));
    return EXIT.ok;
  },
};

export const configCommands: readonly Command[] = [checkCommand, printCommand];

interface Row {
  readonly value: unknown;
  readonly source: string;
}

function rowsOf({ settings, sources }: Config): Readonly<Record<string, Row>> {
  return Object.fromEntries(configPaths.map((path) => [path, { value: shown(path, settings[path]), source: sources[path] }]));
}

/** The value as it is written in a file; in a URL, everything but the place may be a secret. */
function shown(path: ConfigPath, value: unknown): unknown {
  if (value === undefined) return null;
  const text = (configKeys[path].kind as Kind<unknown>).show(value);
  const url = typeof text === 'string' ? URL.parse(text) : null;
  if (url === null || !url.protocol.startsWith('http')) return text;
  const place = `${url.origin}${url.pathname}`;
  return url.href === place ? text : `${place} (the rest is hidden)`;
}

function tenantsOf({ tenants }: Config): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  return Object.fromEntries([...tenants].map(([name, rules]) =>
    [name, Object.fromEntries(Object.entries(rules).map(([rule, value]) => [rule.replaceAll(/[A-Z]/g, (upper) => `_${upper.toLowerCase()}`), value]))]));
}

function textOf({ profile }: Config, settings: ReturnType<typeof rowsOf>, tenants: ReturnType<typeof tenantsOf>): string {
  const lines = Object.entries(settings).map(([path, { value, source }]) => ({ left: `${path} = ${written(value)}`, source }));
  const width = Math.min(60, Math.max(...lines.map(({ left }) => left.length)));
  return [
    `# profile ${profile ?? 'none'}`,
    ...lines.map(({ left, source }) => `${left.padEnd(width)}  # ${printable(source)}`),
    ...Object.entries(tenants).flatMap(([name, rules]) => Object.entries(rules).map(([rule, value]) => `tenants.${name}.${rule} = ${written(value)}`)),
  ].join('\n');
}

function written(value: unknown): string {
  return value === null ? '(none)' : printable(JSON.stringify(value));
}
