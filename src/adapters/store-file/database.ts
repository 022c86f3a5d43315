import type { StatementSync } from 'node:sqlite';
import { closeSync, existsSync, fstatSync, fsyncSync, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { APPLICATION_ID, migrate } from './schema.ts';

export const DATABASE_NAME = 'keys.db';

/** WAL pages until SQLite moves them into the database: at 4 KiB each, 16 MiB. */
const CHECKPOINT_PAGES = 4096;
const CACHE_KIB = 4096;
const OWN_FILE = 0o600;

/** Opens the database for writing, in the newest format. Throws when it is not a whole database of ours; then nothing was written. */
export function openForWriting(path: string): DatabaseSync {
  const isNew = !existsSync(path);
  if (isNew) closeSync(openSync(path, 'wx', OWN_FILE));
  else requireWhole(path);
  const database = open(path, false);
  database.exec('BEGIN IMMEDIATE');
  migrate(database);
  database.exec('COMMIT');
  if (isNew) flushDirectory(dirname(path));
  return database;
}

export function openForReading(path: string): DatabaseSync {
  return open(path, true);
}

/** Opens it for one look, and closes it whatever that finds. */
export function looking<T>(path: string, look: (database: DatabaseSync) => T): T {
  const database = openForReading(path);
  try {
    return look(database);
  } finally {
    database.close();
  }
}

function open(path: string, readOnly: boolean): DatabaseSync {
  const database = new DatabaseSync(path, { readOnly, timeout: 5000 });
  // Secure delete: what is deleted is zeroed where it stood. Full: a commit is on the disk when it returns.
  const writing = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};`;
  database.exec(`PRAGMA cache_size = -${CACHE_KIB}; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; ${readOnly ? '' : writing}`);
  return database;
}

/** Gives rows as arrays: a third of the time that objects take. */
export function prepare(database: DatabaseSync, sql: string): StatementSync {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}

const HEADER_BYTES = 100;
const MAGIC = 'SQLite format 3\0';

/** SQLite would take an empty file for a new database, and part of one for whole until it reads beyond the end (file format §1.3). */
function requireWhole(path: string): void {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const header = Buffer.alloc(HEADER_BYTES);
    const length = readSync(fd, header, 0, HEADER_BYTES, 0);
    // A crash while it was made; SQLite makes it again out of its journal, or anew.
    if (size === 0) return;
    if (length < HEADER_BYTES || header.toString('latin1', 0, MAGIC.length) !== MAGIC) throw new Error('it is not a database');
    const pageBytes = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16);
    const pages = header.readUInt32BE(28);
    // A crash while the journal was moved in may have come between the first page and the last: SQLite does it again.
    if (size < pages * pageBytes && !hasJournal(path)) throw new Error(`it is truncated: ${size} bytes of ${pages * pageBytes}`);
    const application = header.readUInt32BE(68);
    if (application !== APPLICATION_ID && application !== 0) throw new Error('it is a database of another program');
  } finally {
    closeSync(fd);
  }
}

const JOURNAL_HEADER_BYTES = 32;

function hasJournal(path: string): boolean {
  return (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > JOURNAL_HEADER_BYTES;
}

function flushDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
