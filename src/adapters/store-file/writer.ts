import type { DatabaseSync } from 'node:sqlite';
import type { Change } from './authentication.ts';
import type { KeyRing } from './mac-keys.ts';
import type { RecordChange, WireMutation, WriterCalls } from './protocol.ts';
import { headMac, isSameMac, nextChain, NONCES, noncesDigest, noncesMac, operationMac, RECORD, recordDigest, recordMac } from './authentication.ts';
import { prepare } from './database.ts';
import { partId } from './schema.ts';

export interface WriterDeps {
  readonly database: DatabaseSync;
  readonly ring: KeyRing;
  /** The epoch that rows are authenticated under. */
  readonly epoch: string;
  /** As the head has it. */
  readonly chain: Buffer;
  readonly generation: number;
}

type Writer = Omit<WriterCalls, 'close' | 'scanRecords'>;

/** All that writes the database: groups of mutations, each group one transaction, and rows moved to the next epoch. */
export function createWriter({ database, ring, ...first }: WriterDeps): Writer {
  let { epoch, chain, generation } = first;
  let resealedTo = 0;
  const sql = statementsOf(database);

  const key = (of = epoch): Buffer => {
    const found = ring.of(of);
    if (found === undefined) throw new Error(`there is no key of epoch ${of}`);
    return found;
  };

  const inTransaction = <T>(work: () => T): T => {
    database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      database.exec('COMMIT');
      return result;
    } catch (fault) {
      // SQLite may have done it by itself already.
      if (database.isTransaction) database.exec('ROLLBACK');
      throw fault;
    }
  };

  const putRecord = (at: number, { id, kid, isNew, content, sealed, parts }: RecordChange): Change => {
    const digest = recordDigest(kid, at, content);
    // What is kept may lie under the root key before: the row stays of its epoch, so that it is moved.
    const [kept, of] = sealed === undefined ? storedOf(id) : [sealed, epoch] as const;
    const mac = recordMac(key(of), id, digest, kept);
    if (isNew) sql.insertRecord.run(id, kid, at, content, kept, of, mac);
    else sql.updateRecord.run(at, content, kept, of, mac, id);
    for (const { ordinal, bytes } of parts) sql.insertPart.run(partId(id, ordinal), bytes);
    return { kind: RECORD, recordId: id, digest };
  };

  const storedOf = (id: number): readonly [Uint8Array | null, string] => (sql.sealed.get(id) as unknown as [Uint8Array | null, string] | undefined) ?? [null, epoch];

  const put = ({ generation: at, intent, records, nonces, operation }: WireMutation, before: Buffer): Buffer => {
    const changes = records.map((record) => ({ ...putRecord(at, record), kid: record.isNew ? record.kid : null }));
    if (nonces !== undefined) {
      const { recordId, kid, reservedEnd } = nonces;
      const digest = noncesDigest(kid, at, reservedEnd);
      sql.putNonces.run(recordId, reservedEnd, at, epoch, noncesMac(key(), recordId, digest));
      changes.push({ kind: NONCES, recordId, digest, kid: null });
    }
    for (const { kind, recordId, digest, kid } of changes) sql.insertChange.run(at, kind, recordId, digest, intent ?? null, kid);
    if (operation !== undefined) {
      const { scopeHash, body, expiresAt } = operation;
      sql.putOperation.run(scopeHash, body, expiresAt, epoch, operationMac(key(), scopeHash, expiresAt, body));
    }
    return nextChain(before, at, intent, changes);
  };

  const putHead = (at: number, link: Buffer): void => {
    sql.putHead.run(at, link, epoch, headMac(key(), at, link));
  };

  /** Moves one row to this epoch; one that does not authenticate is left as it is, and named. */
  const moveRecord = (id: number, resealed: Uint8Array | undefined): void => {
    const row = sql.record.get(id) as unknown as [string, number, string, Uint8Array | null, string, Uint8Array] | undefined;
    if (row === undefined) return;
    const [kid, at, content, sealed, of, mac] = row;
    if (of === epoch) return;
    const digest = recordDigest(kid, at, content);
    if (!isSameMac(recordMac(key(of), id, digest, sealed), mac)) throw new Error(`the record of ${kid} was changed`);
    // One that was erased since it was read stays so.
    const kept = sealed === null ? null : resealed;
    if (kept === undefined) return;
    sql.moveRecord.run(kept, epoch, recordMac(key(), id, digest, kept), id);
  };

  const moveRest = (limit: number): void => {
    for (const row of sql.otherRecords.all(epoch, limit)) moveRecord((row as unknown as [number])[0], undefined);
    for (const row of sql.otherNonces.all(epoch, limit)) {
      const [id, kid, end, at, of, mac] = row as unknown as [number, string, string, number, string, Uint8Array];
      const digest = noncesDigest(kid, at, end);
      if (!isSameMac(noncesMac(key(of), id, digest), mac)) throw new Error(`the nonces of ${kid} were changed`);
      sql.moveNonces.run(epoch, noncesMac(key(), id, digest), id);
    }
    for (const row of sql.otherOperations.all(epoch, limit)) {
      const [scopeHash, body, expiresAt, of, mac] = row as unknown as [Uint8Array, string, number, string, Uint8Array];
      // An answer that was kept and changed is forgotten: a retry is refused or done, never answered falsely.
      if (isSameMac(operationMac(key(of), scopeHash, expiresAt, body), mac)) sql.moveOperation.run(epoch, operationMac(key(), scopeHash, expiresAt, body), scopeHash);
      else sql.dropOperation.run(scopeHash);
    }
  };

  return {
    commit({ mutations, expiredBefore }) {
      const last = inTransaction(() => {
        let link = chain;
        for (const mutation of mutations) link = put(mutation, link);
        putHead(mutations.at(-1)?.generation ?? generation, link);
        sql.dropExpired.run(expiredBefore);
        return link;
      });
      chain = last;
      generation = mutations.at(-1)?.generation ?? generation;
    },

    truncate: () => (sql.truncate.get() as unknown as [number])[0] === 0,

    beginEpoch(next) {
      ring.take(next);
      ({ epoch } = next);
      resealedTo = 0;
      inTransaction(() => putHead(generation, chain));
    },

    sealedBefore(limit) {
      const rows = sql.sealedBefore.all(resealedTo, epoch, limit) as unknown as [number, string, number, Uint8Array][];
      resealedTo = rows.at(-1)?.[0] ?? resealedTo;
      return rows.map(([id, kid, sealedGeneration, sealed]) => ({ id, kid, sealedGeneration, sealed }));
    },

    putResealed(resealed, limit) {
      inTransaction(() => {
        for (const { id, sealed } of resealed) moveRecord(id, sealed);
        if (resealed.length === 0) moveRest(limit);
      });
      const [total] = sql.lastId.get() as unknown as [number];
      // Counting them all each time would take longer than moving them.
      if (resealed.length > 0) return { left: Math.max(1, total - resealedTo), total };
      const [left] = sql.left.get(epoch, epoch, epoch) as unknown as [number];
      if (left > 0) resealedTo = 0;
      return { left, total };
    },

    endEpochs() {
      const left = [
        ...sql.left.get(epoch, epoch, epoch) as unknown as [number],
        ...ring.others(epoch).flatMap((other) => sql.sealedUnder.get(other) as unknown as [number]),
      ].reduce((sum, count) => sum + count, 0);
      if (left > 0) throw new Error(`${left} rows are still of an epoch before`);
      ring.keepOnly(epoch);
    },
  };
}

function statementsOf(database: DatabaseSync) {
  const of = (text: string) => prepare(database, text);
  return {
    insertRecord: of('INSERT INTO records (id, kid, generation, content, sealed, epoch, mac) VALUES (?, ?, ?, ?, ?, ?, ?)'),
    updateRecord: of('UPDATE records SET generation = ?, content = ?, sealed = ?, epoch = ?, mac = ? WHERE id = ?'),
    moveRecord: of('UPDATE records SET sealed = ?, epoch = ?, mac = ? WHERE id = ?'),
    record: of('SELECT kid, generation, content, sealed, epoch, mac FROM records WHERE id = ?'),
    sealed: of('SELECT sealed, epoch FROM records WHERE id = ?'),
    sealedBefore: of("SELECT id, kid, json_extract(content, '$.sealed_generation'), sealed FROM records WHERE id > ? AND epoch <> ? AND sealed IS NOT NULL ORDER BY id LIMIT ?"),
    otherRecords: of('SELECT id FROM records WHERE epoch <> ? AND sealed IS NULL LIMIT ?'),
    insertPart: of('INSERT INTO public_parts (id, bytes) VALUES (?, ?)'),
    insertChange: of('INSERT INTO changes (generation, kind, record_id, digest, intent, kid) VALUES (?, ?, ?, ?, ?, ?)'),
    putNonces: of('INSERT OR REPLACE INTO nonces (record_id, reserved_end, generation, epoch, mac) VALUES (?, ?, ?, ?, ?)'),
    otherNonces: of('SELECT n.record_id, r.kid, n.reserved_end, n.generation, n.epoch, n.mac FROM nonces n JOIN records r ON r.id = n.record_id WHERE n.epoch <> ? LIMIT ?'),
    moveNonces: of('UPDATE nonces SET epoch = ?, mac = ? WHERE record_id = ?'),
    putOperation: of('INSERT OR REPLACE INTO operations (scope_hash, body, expires_at, epoch, mac) VALUES (?, ?, ?, ?, ?)'),
    otherOperations: of('SELECT scope_hash, body, expires_at, epoch, mac FROM operations WHERE epoch <> ? LIMIT ?'),
    moveOperation: of('UPDATE operations SET epoch = ?, mac = ? WHERE scope_hash = ?'),
    dropOperation: of('DELETE FROM operations WHERE scope_hash = ?'),
    dropExpired: of('DELETE FROM operations WHERE expires_at <= ?'),
    putHead: of('INSERT OR REPLACE INTO head (id, generation, chain, epoch, mac) VALUES (1, ?, ?, ?, ?)'),
    left: of('SELECT (SELECT count(*) FROM records WHERE epoch <> ?) + (SELECT count(*) FROM nonces WHERE epoch <> ?) + (SELECT count(*) FROM operations WHERE epoch <> ?)'),
    // By what stands in the blobs themselves, too: after this the key before is gone. What another backend sealed names no epoch.
    sealedUnder: of('SELECT count(*) FROM records WHERE sealed IS NOT NULL AND lower(hex(substr(sealed, 3, 8))) = ?'),
    lastId: of('SELECT COALESCE(MAX(id), 0) FROM records'),
    truncate: of('PRAGMA wal_checkpoint(TRUNCATE)'),
  };
}
