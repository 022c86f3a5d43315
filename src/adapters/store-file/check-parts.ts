import type { DatabaseSync } from 'node:sqlite';
import type { Finding } from './protocol.ts';
import { hash } from 'node:crypto';
import { largePartHashes } from './content.ts';
import { prepare } from './database.ts';
import { partId } from './schema.ts';

/** What the start leaves for later: every public part that stands apart held against its hash, and SQLite's own check of all pages. */
export function checkParts(database: DatabaseSync): readonly Finding[] {
  const findings: Finding[] = [];
  const part = prepare(database, 'SELECT bytes FROM public_parts WHERE id = ?');
  for (const row of prepare(database, 'SELECT id, kid, content FROM records').iterate()) {
    const [id, kid, content] = row as unknown as [number, string, string];
    for (const { ordinal, sha256 } of hashesIn(content)) {
      const [bytes] = (part.get(partId(id, ordinal)) ?? []) as unknown as [Uint8Array?];
      if (bytes === undefined || hash('sha256', bytes, 'hex') !== sha256) findings.push({ what: `a public part of ${kid} was changed`, kid });
    }
  }
  for (const row of prepare(database, 'PRAGMA integrity_check(8)').all()) {
    const [said] = row as unknown as [string];
    if (said !== 'ok') findings.push({ what: `the database is damaged: ${said.split('\n')[0] ?? ''}` });
  }
  return findings;
}

/** One that does not parse does not authenticate either, and is named by that. */
function hashesIn(content: string): ReturnType<typeof largePartHashes> {
  try {
    return largePartHashes(content);
  } catch {
    return [];
  }
}
