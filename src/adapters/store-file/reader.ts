import type { DatabaseSync } from 'node:sqlite';
import type { KeyRecord } from '../../core/key/record.ts';
import type { DueWork, StoredChange } from '../../ports/key-store.ts';
import type { ReadPart, StoredVersion } from './content.ts';
import type { KeyRing } from './mac-keys.ts';
import { hash } from 'node:crypto';
import { isAuthentic, noncesDigest, noncesMac, operationMac, recordDigest, recordMac } from './authentication.ts';
import { createSecondChance } from '../../core/second-chance.ts';
import { keyOf } from './content.ts';
import { prepare } from './database.ts';
import { baseOf, versionNumberOf } from './record-name.ts';
import { partId } from './schema.ts';

/** A key with the ids of its records, version 1 first. */
export interface StoredKey {
  readonly key: KeyRecord;
  readonly ids: readonly number[];
}

export interface ReaderDeps {
  readonly database: DatabaseSync;
  readonly ring: KeyRing;
  /** The generation of the last change of a record: an older one was put back. */
  readonly generationOf: (id: number) => number;
  /** Runs a read of which nobody else knows that it is one. */
  readonly reading: <T>(read: () => T) => T;
}

/** Public parts over 64 bytes that stay in memory: 8 MiB of ML-DSA-65. */
const PARTS_READ_MAX = 4096;

/** A row that is not as the service left it, and the version it is about where there is one. */
export class ChangedRow extends Error {
  readonly kid: string | undefined;

  constructor(kid: string | undefined, what: string) {
    super(what);
    this.kid = kid;
  }
}

export interface Reader {
  /** All versions of a key, each authenticated; throws `ChangedRow` when one is not. */
  find(base: string): StoredKey | undefined;
  operation(scopeHash: Uint8Array): { readonly body: string; readonly expiresAt: number } | undefined;
  /** The key as an operation left it: the contents of then, the public parts of always. */
  keyAsLeft(versions: readonly { readonly id: number; readonly kid: string; readonly content: string }[]): KeyRecord;
  /** Up to where nonces of this version were set aside; undefined when none were. */
  reservedNonces(id: number, kid: string): bigint | undefined;
  due(nowMs: number): readonly DueWork[];
  /** First versions in the order of their creation, from behind an id on. */
  firstVersions(afterId: number, tenant: string | undefined, limit: number): readonly { readonly id: number; readonly kid: string }[];
  idOf(kid: string): number | undefined;
  changesAbove(generation: number): ReadonlyMap<number, StoredChange>;
  close(): void;
}

type RecordRow = readonly [id: number, kid: string, generation: number, content: string, sealed: Uint8Array | null, epoch: string, mac: Uint8Array];

/** All that is read of the database while it serves, on a connection of its own that cannot write. */
export function createReader({ database, ring, generationOf, reading }: ReaderDeps): Reader {
  const of = (text: string) => prepare(database, text);
  const sql = {
    versions: of('SELECT id, kid, generation, content, sealed, epoch, mac FROM records WHERE kid > ? AND kid < ?'),
    part: of('SELECT bytes FROM public_parts WHERE id = ?'),
    operation: of('SELECT body, expires_at, epoch, mac FROM operations WHERE scope_hash = ?'),
    nonces: of('SELECT reserved_end, generation, epoch, mac FROM nonces WHERE record_id = ?'),
    toErase: of('SELECT kid FROM records WHERE destroy_at <= ? ORDER BY destroy_at'),
    toRotate: of('SELECT kid FROM records WHERE rotate_at <= ? ORDER BY rotate_at'),
    first: of("SELECT id, kid FROM records WHERE tenant IS NOT NULL AND id > ? ORDER BY id LIMIT ?"),
    firstOfTenant: of('SELECT id, kid FROM records WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?'),
    id: of('SELECT id FROM records WHERE kid = ?'),
    changes: of('SELECT changes.generation, changes.intent, records.kid FROM changes LEFT JOIN records ON records.id = changes.record_id ORDER BY changes.id DESC'),
  };

  /** By their hash: what is found under it is what was asked for. */
  const partsRead = createSecondChance<string, Buffer>(PARTS_READ_MAX);

  const readPart = (id: number, kid: string): ReadPart => (ordinal, sha256) => {
    const known = partsRead.get(sha256);
    if (known !== undefined) return known;
    const part = reading(() => {
      const [bytes] = (sql.part.get(partId(id, ordinal)) ?? []) as unknown as [Uint8Array<ArrayBuffer>?];
      if (bytes === undefined || hash('sha256', bytes, 'hex') !== sha256) throw new ChangedRow(kid, `a public part of ${kid} was changed`);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    });
    partsRead.put(sha256, part);
    return part;
  };

  const authentic = ([id, kid, generation, content, sealed, epoch, mac]: RecordRow): StoredVersion => {
    if (!isAuthentic(ring, epoch, mac, (key) => recordMac(key, id, recordDigest(kid, generation, content), sealed))) throw new ChangedRow(kid, `the record of ${kid} was changed`);
    if (generation < generationOf(id)) throw new ChangedRow(kid, `the record of ${kid} is an older one, of generation ${generation}`);
    return { kid, content, sealed, readPart: readPart(id, kid) };
  };

  return {
    find(base) {
      // "#v" and digits: nothing but the versions of this key sorts between the two.
      const rows = sql.versions.all(`${base}#v`, `${base}#w`) as unknown as RecordRow[];
      if (rows.length === 0) return undefined;
      const versions = rows.map(authentic);
      const ids = rows.map(([id]) => id);
      return { key: keyOf(versions), ids: ids.length === 1 ? ids : byVersion(versions, ids) };
    },

    operation(scopeHash) {
      const row = sql.operation.get(scopeHash) as unknown as [string, number, string, Uint8Array] | undefined;
      if (row === undefined) return undefined;
      const [body, expiresAt, epoch, mac] = row;
      if (!isAuthentic(ring, epoch, mac, (key) => operationMac(key, scopeHash, expiresAt, body))) throw new ChangedRow(undefined, 'the answer that was kept for an op_id was changed');
      return { body, expiresAt };
    },

    keyAsLeft: (versions) => keyOf(versions.map(({ id, kid, content }) => ({ kid, content, sealed: null, readPart: readPart(id, kid) }))),

    reservedNonces(id, kid) {
      const row = sql.nonces.get(id) as unknown as [string, number, string, Uint8Array] | undefined;
      if (row === undefined) return undefined;
      const [end, generation, epoch, mac] = row;
      if (!isAuthentic(ring, epoch, mac, (key) => noncesMac(key, id, noncesDigest(kid, generation, end)))) throw new ChangedRow(kid, `the nonces of ${kid} were changed`);
      return BigInt(end);
    },

    due: (nowMs) => [
      ...(sql.toErase.all(nowMs) as unknown as [string][]).map(([kid]) => ({ base: baseOf(kid), eraseVersion: versionNumberOf(kid) })),
      ...(sql.toRotate.all(nowMs) as unknown as [string][]).map(([kid]) => ({ base: baseOf(kid) })),
    ],

    firstVersions(afterId, tenant, limit) {
      const rows = (tenant === undefined ? sql.first.all(afterId, limit) : sql.firstOfTenant.all(tenant, afterId, limit)) as unknown as [number, string][];
      return rows.map(([id, kid]) => ({ id, kid }));
    },

    idOf: (kid) => (sql.id.get(kid) as unknown as [number] | undefined)?.[0],

    changesAbove(generation) {
      const changes = new Map<number, StoredChange>();
      for (const row of sql.changes.iterate()) {
        const [at, intent, kid] = row as unknown as [number, number | null, string | null];
        if (at <= generation) break;
        const known = changes.get(at)?.kid;
        const isNewer = kid !== null && (known === undefined || versionNumberOf(kid) > versionNumberOf(known));
        changes.set(at, { intent: intent ?? undefined, kid: isNewer ? kid : known });
      }
      return changes;
    },

    close: () => database.close(),
  };
}

/** SQLite gives v10 before v2. */
function byVersion(versions: readonly StoredVersion[], ids: readonly number[]): readonly number[] {
  const sorted: number[] = [];
  versions.forEach(({ kid }, i) => { sorted[versionNumberOf(kid) - 1] = ids[i] ?? 0; });
  return sorted;
}
