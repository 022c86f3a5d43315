import type { Io, Parsed } from '../cli/command.ts';
import type { LogRecord, RecordSource } from '../cli/audit-records.ts';
import type { AuditEntry } from '../../client/src/wire.ts';
import type { LoggedEntries } from '../adapters/audit-check/logged-entries.ts';
import type { Config } from '../config/load.ts';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { openLoggedEntries } from '../adapters/audit-check/logged-entries.ts';
import { isAsked } from '../cli/audit-filter.ts';
import { recordsOf } from '../cli/audit-records.ts';
import { UsageError } from '../cli/command.ts';
import { connect } from '../cli/connection.ts';
import { flag, given } from '../cli/flags.ts';
import { settingsFrom } from '../cli/settings.ts';

/** How often a reader of files says how far it is. */
const TOLD_EVERY = 1024;

export const configOption = { config: { type: 'string' } } as const;
export const configAbout = { config: 'settings that name the log\'s directory; ./kms.toml when it is there' } as const;

export const dirOption = { dir: { type: 'string' } } as const;
export const dirAbout = { dir: 'read the files of the log in this directory, without the service and unchecked' } as const;

/** The settings, with the directory of the command line over theirs. */
export function settingsWithDirectory(parsed: Parsed, io: Io): Config {
  const [named] = parsed.args;
  return settingsFrom({ args: [], flags: given({ config: flag(parsed, 'config'), 'audit-dir': named === undefined ? undefined : resolve(io.cwd, named) }) }, io);
}

/** The directory that stands on the line, else `audit.dir` of the settings. */
export function logDirectory(parsed: Parsed, io: Io): string {
  const [named] = parsed.args;
  const directory = resolve(io.cwd, named ?? settingsWithDirectory(parsed, io).settings['audit.dir']);
  if (!existsSync(directory)) throw new UsageError(`there is no directory ${directory}: name that of the log, or the settings that do with --config`);
  return directory;
}

/** The log in the directory that `--dir` names. */
export function openNamed(directory: string, io: Io): LoggedEntries {
  const path = resolve(io.cwd, directory);
  const log = openLoggedEntries(path);
  if (log === undefined) throw new UsageError(`${directory} holds no log: there is no checkpoint in it`);
  return log;
}

/** Records from the files where `--dir` is given, else from the service. */
export async function sourceOf(parsed: Parsed, io: Io): Promise<RecordSource> {
  const directory = flag(parsed, 'dir');
  return directory === undefined ? recordsOf(await connect(parsed, io)) : filed(directory, io);
}

/** The files as they are each time that somebody asks: the log may be growing. */
function filed(directory: string, io: Io): RecordSource {
  let log = openNamed(directory, io);
  return {
    async span() {
      log = openNamed(directory, io);
      return { from: log.first, to: log.size };
    },
    async *read({ from, to }, filter, seen) {
      for (const { index, bytes } of log.read(from, to)) {
        const record = recordIn(index, bytes);
        if (isAsked(record.entry, filter)) yield record;
        if (index % TOLD_EVERY === 0) seen?.(index);
      }
    },
  };
}

function recordIn(index: number, bytes: Buffer): LogRecord {
  const text = bytes.toString('utf8');
  try {
    return { index, text, entry: JSON.parse(text) as AuditEntry };
  } catch {
    throw new Error(`entry ${index} is not JSON: ron-kms audit verify tells more`);
  }
}
