import type { DatabaseSync } from 'node:sqlite';
import type { StoreFault } from '../../ports/key-store.ts';
import type { KeyRing } from './mac-keys.ts';
import type { Finding, History, Scanned, ScanOrder } from './protocol.ts';
import { DIGEST_BYTES, isAuthentic, noncesDigest, noncesMac, recordDigest, recordMac } from './authentication.ts';
import { prepare } from './database.ts';

/** How many are named; of the rest the number is told. */
const NAMED_MAX = 3;

const FIRST_VERSION = '#v1';
/** What a kid has behind its kind: a slash, a UUID, the version. */
const KEY_OWN_CHARS = 1 + 36 + FIRST_VERSION.length;

/** Ids that are taken at once: as many rows are in memory. */
const SLICE = 512;

export function orderScan(database: DatabaseSync): ScanOrder {
  const numberIn = (sql: string): number => (prepare(database, sql).get() as unknown as [number])[0];
  const highest = numberIn('SELECT COALESCE(MAX(id), 0) FROM records');
  const changes = numberIn('SELECT COALESCE(MAX(id), 0) FROM changes');
  // Each record has a change. Where some are gone the records are counted, which takes a while.
  const last = highest <= changes ? highest : Math.min(highest, Math.max(changes, numberIn('SELECT count(*) FROM records')));
  return { size: last + 1, taken: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) };
}

/** Authenticates every record of the slices it takes; without keys it only reads them. Public parts are left out: they are held against the hash in their record whenever they are read. */
export function scanRecords(database: DatabaseSync, ring: KeyRing | undefined, { size, taken }: ScanOrder): Scanned {
  const findings: Finding[] = [];
  const keys = new Map<string, number>();
  const generations = new Float64Array(size);
  const digests = new Uint8Array(size * DIGEST_BYTES);
  const slices = Math.ceil(size / SLICE);
  const rows = prepare(database, 'SELECT id, kid, generation, content, sealed, epoch, mac FROM records WHERE id >= ? AND id < ?');
  for (let slice = Atomics.add(taken, 0, 1); slice < slices; slice = Atomics.add(taken, 0, 1)) {
    // The outer ones are open: no id is left out, whatever somebody put there.
    // All of a slice at once: a third less time than one row after the other.
    for (const row of rows.all(slice === 0 ? -Infinity : slice * SLICE, slice === slices - 1 ? Infinity : (slice + 1) * SLICE)) {
      const [id, kid, generation, content, sealed, epoch, mac] = row as unknown as [number, string, number, string, Uint8Array | null, string, Uint8Array];
      const isKnown = id > 0 && id < size;
      const digest = recordDigest(kid, generation, content);
      if (!isAuthentic(ring, epoch, mac, (key) => recordMac(key, id, digest, sealed))) findings.push({ what: `the record of ${kid} was changed`, kid });
      else if (!isKnown) findings.push({ what: `the record of ${kid} was added`, kid });
      else digests.set(digest, id * DIGEST_BYTES);
      if (isKnown) generations[id] = generation;
      // Each key has one first version.
      if (kid.endsWith(FIRST_VERSION)) {
        const kind = kid.slice(0, -KEY_OWN_CHARS);
        keys.set(kind, (keys.get(kind) ?? 0) + 1);
      }
    }
  }
  return { generations, digests, findings, keys };
}

/** Holds what lies there against the history of it. Undefined when the two agree. */
export function compare(database: DatabaseSync, ring: KeyRing | undefined, history: History, scans: readonly Scanned[]): StoreFault | undefined {
  const scanned = scans.flatMap(({ findings }) => findings);
  const findings = [...history.findings, ...scanned, ...(history.isWhole ? [...differences(database, history, scans), ...checkNonces(database, ring, history)] : [])];
  return findings.length === 0 ? undefined : faultOf(findings);
}

/** The first of them in words, and how many more there are. */
export function faultOf(findings: readonly Finding[]): StoreFault {
  const kids = new Set(findings.flatMap(({ kid }) => kid ?? []));
  const whats = [...new Set(findings.map(({ what }) => what))];
  const named = whats.slice(0, NAMED_MAX).join('; ');
  return { what: whats.length > NAMED_MAX ? `${named}; and ${whats.length - NAMED_MAX} more` : named, kids };
}

function differences(database: DatabaseSync, history: History, scans: readonly Scanned[]): readonly Finding[] {
  const findings: Finding[] = [];
  const known = new Set(scans.flatMap((scan) => scan.findings.map(({ kid }) => kid)));
  const length = Math.max(history.generations.length, ...scans.map(({ generations }) => generations.length));
  for (let id = 1; id < length; id++) {
    const scan = scans.find(({ generations }) => (generations[id] ?? 0) > 0);
    const [expected = 0, found = 0] = [history.generations[id], scan?.generations[id]];
    if (expected === found && (scan === undefined || isSameDigest(history.digests, scan.digests, id))) continue;
    const kid = kidOf(database, id);
    if (known.has(kid)) continue;
    const name = kid ?? `number ${id}`;
    const what = found === 0 ? `the record of ${name} is missing` : expected === 0 ? `the record of ${name} was added` : `the record of ${name} is another one, of generation ${found}`;
    findings.push({ what, kid });
  }
  return findings;
}

function isSameDigest(one: Uint8Array, other: Uint8Array, id: number): boolean {
  const from = id * DIGEST_BYTES;
  for (let at = from; at < from + DIGEST_BYTES; at++) if (one[at] !== other[at]) return false;
  return true;
}

/** As the change that made it says, else the record itself; it is only shown, and kept from being used. */
function kidOf(database: DatabaseSync, id: number): string | undefined {
  const [kid] = (prepare(database, 'SELECT kid FROM changes WHERE record_id = ?1 AND kid IS NOT NULL UNION ALL SELECT kid FROM records WHERE id = ?1').get(id) ?? []) as unknown as [string?];
  return kid;
}

function checkNonces(database: DatabaseSync, ring: KeyRing | undefined, { nonces }: History): readonly Finding[] {
  const findings: Finding[] = [];
  const left = new Map(nonces);
  for (const row of prepare(database, 'SELECT n.record_id, r.kid, n.reserved_end, n.generation, n.epoch, n.mac FROM nonces n LEFT JOIN records r ON r.id = n.record_id').iterate()) {
    const [id, kid, reservedEnd, generation, epoch, mac] = row as unknown as [number, string | null, string, number, string, Uint8Array];
    const change = left.get(id);
    left.delete(id);
    const digest = noncesDigest(kid ?? '', generation, reservedEnd);
    const isOwn = isAuthentic(ring, epoch, mac, (key) => noncesMac(key, id, digest));
    if (isOwn && change?.generation === generation && digest.equals(change.digest)) continue;
    findings.push({ what: `the nonces of ${kid ?? `record ${id}`} were changed`, kid: kid ?? undefined });
  }
  for (const id of left.keys()) {
    const kid = kidOf(database, id);
    findings.push({ what: `the nonces of ${kid ?? `record ${id}`} are missing`, kid });
  }
  return findings;
}
