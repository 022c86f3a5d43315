import type { Config } from '../config/load.ts';
import type { Command } from './command.ts';
import { checkConfig } from '../config/check.ts';
import { differencesOf } from '../config/difference.ts';
import { configPaths, variableOf } from '../config/keys.ts';
import { ConfigError, loadConfig } from '../config/load.ts';
import { migrateText } from '../config/migrate.ts';
import { renamedKeys } from '../config/renamed.ts';
import { configSchema } from '../config/schema.ts';
import { shown, shownTenants } from '../config/shown.ts';
import { print } from './answer.ts';
import { connect, connectionAbout, connectionOptions } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { readSmall, writeWhole } from './files.ts';
import { flag } from './flags.ts';
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

const migrateCommand: Command = {
  name: 'config migrate',
  summary: 'Put the settings of a file under their names of today; comments and order stay',
  example: 'config migrate --config kms.toml --write',
  options: { config: { type: 'string' }, write: { type: 'boolean' }, json: { type: 'boolean' } },
  about: { config: 'TOML file; ./kms.toml when it is left out', write: 'replace the file; else the new text goes to standard output', json: 'print what changed as JSON' },
  async run(parsed, io) {
    const path = flag(parsed, 'config') ?? 'kms.toml';
    const before = (await readSmall(path, io)).toString('utf8');
    const after = migrateText(before);
    const load = (text: string): Config => loadConfig({ file: { path, text }, environment: {}, flags: {} });
    const [was, is] = [load(before), readable(() => load(after.text))];
    // Never a file that says something else than it did.
    if (is === undefined || is.renamed.length > 0 || differencesOf(was, is).length > 0) throw new ConfigError(`${path} is written in a way that this does not rewrite. By hand: ${was.renamed.join('; ')}`);
    const isWritten = parsed.flags['write'] === true && after.changes.length > 0;
    if (isWritten) await writeWhole(path, after.text, io, { isPrivate: false });
    if (parsed.flags['json'] === true) io.out(`${JSON.stringify({ changes: after.changes, written: isWritten, ...(!isWritten && { text: after.text }) })}\n`);
    else if (parsed.flags['write'] !== true) io.out(after.text);
    for (const { from, to } of after.changes) io.err(`${printable(from)} is ${to}\n`);
    if (after.changes.length === 0) io.err(`${printable(path)} has every setting under its name of today\n`);
    for (const name of Object.keys(renamedKeys).filter((former) => io.env[variableOf(former)] !== undefined)) io.err(`the environment has ${variableOf(name)}: it is ${variableOf(renamedKeys[name]?.to ?? name)}\n`);
    return EXIT.ok;
  },
};

const schemaCommand: Command = {
  name: 'config schema',
  summary: 'Print the JSON Schema of kms.toml, for editors and checks',
  example: 'config schema',
  options: { json: { type: 'boolean' } },
  about: { json: 'the same: it is JSON' },
  async run(_parsed, io) {
    io.out(`${JSON.stringify(configSchema(), undefined, 2)}\n`);
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

export const configCommands: readonly Command[] = [checkCommand, printCommand, migrateCommand, schemaCommand, reloadCommand];

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

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (fault) {
    if (fault instanceof ConfigError) return undefined;
    throw fault;
  }
}

function written(value: unknown): string {
  return value === null ? '(none)' : printable(JSON.stringify(value));
}
