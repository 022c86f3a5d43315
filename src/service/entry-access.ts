import type { AuditEvent, AuditStamp } from '../core/log/entry.ts';
import type { Caveats } from '../core/macaroon/caveats.ts';
import { parseKid } from '../core/key/kid.ts';

/** An entry as it was written: the members of a log of our own are as we write them. */
export type LoggedEntry = AuditEvent & AuditStamp & { readonly v: number };

export function parseEntry(bytes: Buffer): LoggedEntry {
  return JSON.parse(bytes.toString('utf8')) as LoggedEntry;
}

/**
 * Whether an entry lies inside all caveats of a token. What it does not say, it does not fulfil: an entry
 * without a tenant is for those who may read every tenant's, one without a key never inside a `kid` caveat.
 */
export function admitsEntry({ tenants, purposes, algs, kids }: Caveats, entry: Pick<LoggedEntry, 'tenant' | 'purpose' | 'alg' | 'kid'>): boolean {
  const isNamed = tenants.every((only) => only === entry.tenant) && purposes.every((only) => only === entry.purpose) && algs.every((only) => only === entry.alg);
  if (!isNamed || kids.length === 0) return isNamed;
  const kid = entry.kid === undefined ? undefined : parseKid(entry.kid);
  return kid !== undefined && kids.every(({ base, version }) => base === kid.base && (version === undefined || version === kid.version));
}
