import type { Config } from '../config/load.ts';
import type { Command } from './command.ts';
import { checkConfig } from '../config/check.ts';
import { configPaths } from '../config/keys.ts';
import { shown, shownTenants } from '../config/shown.ts';
import { print } from './answer.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { printable } from './printable.ts';
import { whileWaiting } from './progress.ts';
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
    const tenants = shownTenants(config);
    print(parsed, io, { profile: config.profile ?? 'none', settings, tenants }, () => textOf(config, settings, tenants));
    return EXIT.ok;
  },
};

const reloadCommand: Command = {
  name: 'config reload',
  summary: 'Have a running service take its settings anew',
  example: 'config reload',
  options: connectionOptions,
  about: connectionAbout,
  async run(parsed, io) {
    const client = await connect(parsed, io);
    const answer = await whileWaiting(io, 'waiting for the service', client.reload());
    print(parsed, io, answer, () => `the service goes on with configuration ${answer.config_version}`);
    return EXIT.ok;
  },
};

export const configCommands: readonly Command[] = [checkCommand, printCommand, reloadCommand];

interface Row {
  readonly value: unknown;
  readonly source: string;
}

function rowsOf({ settings, sources }: Config): Readonly<Record<string, Row>> {
  return Object.fromEntries(configPaths.map((path) => [path, { value: shown(path, settings[path]), source: sources[path] }]));
}

function textOf({ profile }: Config, settings: ReturnType<typeof rowsOf>, tenants: ReturnType<typeof shownTenants>): string {
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
