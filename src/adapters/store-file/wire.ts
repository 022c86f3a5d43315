import type { KeyRecord, VersionRecord } from '../../core/key/record.ts';
import type { OperationRecord } from '../../ports/key-store.ts';
import type { OperationRow, RecordChange } from './protocol.ts';
import type { StoredKey } from './reader.ts';
import { hash } from 'node:crypto';
import { canonicalJson } from '../../core/canonical-json.ts';
import { contentOf, largePartsOf } from './content.ts';

export interface KeyChange {
  readonly records: readonly RecordChange[];
  readonly ids: readonly number[];
}

/** The records that a mutation changes; at least one, so that its generation stands in the chain. New ones get ids from `nextId` on. */
export function changeOf(before: StoredKey | undefined, key: KeyRecord, nextId: number): KeyChange {
  const ids = key.versions.map((_, i) => before?.ids[i] ?? nextId + i - (before?.ids.length ?? 0));
  const change = (i: number): RecordChange => recordChange(key.versions[i] as VersionRecord, key, ids[i] as number, before !== undefined && i < before.ids.length);
  const changed = key.versions.flatMap((_, i) => (isChanged(before?.key, key, i) ? [change(i)] : []));
  return { ids, records: changed.length > 0 ? changed : [change(0)] };
}

function isChanged(before: KeyRecord | undefined, key: KeyRecord, i: number): boolean {
  const [old, now] = [before?.versions[i], key.versions[i]];
  if (before === undefined || old === undefined || now === undefined) return true;
  if (old !== now && contentOf(old, before) !== contentOf(now, key)) return true;
  // The first version carries what is of the whole key.
  return i === 0 && contentOf(old, before) !== contentOf(now, key);
}

/** What is sealed comes with a new record and goes with its destruction; a record that is only changed keeps what it has. */
function recordChange(version: VersionRecord, key: KeyRecord, id: number, isThere: boolean): RecordChange {
  return {
    id, kid: version.kid, isNew: !isThere, content: contentOf(version, key),
    ...(isThere ? version.state === 'destroyed' && { sealed: null } : { sealed: version.custodyBlob ?? null }),
    parts: isThere ? [] : largePartsOf(version),
  };
}

export function scopeHashOf(scope: string): Buffer {
  return hash('sha256', scope, 'buffer');
}

/** What is kept of an operation; the key as it left it is told by the contents of its records. */
export interface OperationBody {
  readonly body_hash: string;
  readonly versions: readonly { readonly id: number; readonly kid: string; readonly content: string }[];
}

export function operationRow({ scope, bodyHash, expiresAtMs }: Omit<OperationRecord, 'key'>, key: KeyRecord, ids: readonly number[]): OperationRow {
  const body: OperationBody = { body_hash: bodyHash, versions: key.versions.map((version, i) => ({ id: ids[i] as number, kid: version.kid, content: contentOf(version, key) })) };
  return { scopeHash: scopeHashOf(scope), body: canonicalJson(body), expiresAt: expiresAtMs };
}
