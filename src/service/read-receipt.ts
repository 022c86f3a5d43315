import type { AuditReader } from '../ports/audit-reader.ts';
import type { Caller } from './call.ts';
import type { LoggedEntry } from './entry-access.ts';
import type { RateLimits } from './rate-limits.ts';
import { formatReceipt } from '../../client/src/log/receipt.ts';
import { KmsError } from '../core/errors.ts';
import { inclusionProof } from '../core/log/proofs.ts';
import { admitsEntry, parseEntry } from './entry-access.ts';

export interface ReadReceiptDeps {
  readonly reader: AuditReader;
  readonly rates: RateLimits;
}

/**
 * GET /audit/receipts/{index}: the entry, and the proof that it is in the log. For an auditor, or for the client that made
 * the entry; inside the token's caveats either way, so that a narrowed token shows no more than what it is for.
 */
export function makeReadReceipt({ reader, rates }: ReadReceiptDeps) {
  const readTile = async (level: number, index: number, width: number): Promise<Buffer> => {
    const tile = await reader.tile(level, index, width);
    if (tile === undefined) throw new KmsError('AuditUnavailable', { hint: 'a tile of the log cannot be read' });
    return tile;
  };

  return async (caller: Caller, index: number): Promise<string> => {
    rates.chargeCaveats(caller);
    const isKept = index >= reader.minimumIndex() && index < reader.size();
    const [bytes] = isKept ? await reader.entries(index, 1) : [];
    if (bytes === undefined) throw absent(caller);
    const entry = parseEntry(bytes);
    if (!admitsEntry(caller.caveats, entry) || !(caller.caveats.scopes.has('kms:audit') || isOwn(caller, entry))) throw denied();

    const { note, size } = await reader.covering(index);
    return formatReceipt({ entry: bytes, index, proof: await inclusionProof(index, size, readTile), note });
  };
}

function isOwn({ identity: { clientId, rootKeyId } }: Caller, { actor }: LoggedEntry): boolean {
  return actor.client_id === clientId && actor.root_key_id === rootKeyId;
}

/** How long the log is, anyone knows who may see its checkpoint; to all others there and not there look the same. */
function absent({ caveats: { scopes } }: Caller): KmsError {
  return scopes.has('kms:audit') || scopes.has('kms:read') ? new KmsError('NotFound', { hint: 'the log has no such entry, or does not keep it any more' }) : denied();
}

function denied(): KmsError {
  return new KmsError('NoCapability', { hint: 'the entry is not of this client, or not inside the caveats of the token' });
}
