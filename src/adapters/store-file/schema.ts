import type { DatabaseSync } from 'node:sqlite';

/** "rkms": tells this file from any other SQLite database. */
export const APPLICATION_ID = 0x72_6b_6d_73;

/** Format v1 (docs/formats/store.md). What is searched by is generated from what is authenticated, so no fact stands twice. */
const VERSION_1 = `
CREATE TABLE records (
  id INTEGER PRIMARY KEY,
  kid TEXT NOT NULL UNIQUE,
  generation INTEGER NOT NULL,
  content TEXT NOT NULL,
  sealed BLOB,
  epoch TEXT NOT NULL,
  mac BLOB NOT NULL,
  tenant TEXT AS (CASE WHEN substr(kid, -3) = '#v1' THEN substr(kid, 1, instr(kid, '/') - 1) END) VIRTUAL,
  destroy_at INTEGER AS (json_extract(content, '$.destroy_at_ms')) VIRTUAL,
  rotate_at INTEGER AS (json_extract(content, '$.key.rotate_at_ms')) VIRTUAL
) STRICT;
CREATE INDEX records_by_tenant ON records (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX records_to_erase ON records (destroy_at) WHERE destroy_at IS NOT NULL;
CREATE INDEX records_to_rotate ON records (rotate_at) WHERE rotate_at IS NOT NULL;
CREATE TABLE public_parts (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE changes (
  id INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  record_id INTEGER NOT NULL,
  digest BLOB NOT NULL,
  intent INTEGER,
  kid TEXT
) STRICT;
CREATE TABLE nonces (record_id INTEGER PRIMARY KEY, reserved_end TEXT NOT NULL, generation INTEGER NOT NULL, epoch TEXT NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE TABLE operations (scope_hash BLOB PRIMARY KEY, body TEXT NOT NULL, expires_at INTEGER NOT NULL, epoch TEXT NOT NULL, mac BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX operations_by_end ON operations (expires_at);
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL, chain BLOB NOT NULL, epoch TEXT NOT NULL, mac BLOB NOT NULL) STRICT;
`;

/** From each format to the next; the first makes a store out of nothing. A change of format is a step more, never a change of one. */
const migrations: readonly string[] = [VERSION_1];

const FORMAT_VERSION = migrations.length;

/** Brings the database to the format of this version, in the transaction of whoever calls. Throws at one of a later version. */
export function migrate(database: DatabaseSync): void {
  const from = formatOf(database);
  if (from > FORMAT_VERSION) throw new Error(`it has format ${from}, and this version of ron-kms knows formats up to ${FORMAT_VERSION}: start a newer one`);
  for (const step of migrations.slice(from)) database.exec(step);
  if (from < FORMAT_VERSION) database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT_VERSION}`);
}

function formatOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

/** Public parts of over 64 bytes stand apart, so that a pass over the records does not read them. */
export function partId(recordId: number, ordinal: number): number {
  return recordId * PARTS_MAX + ordinal;
}

const PARTS_MAX = 8;
