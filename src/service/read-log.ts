import type { TileName } from '../core/log/tiles.ts';
import type { AuditReader, LogKey } from '../ports/audit-reader.ts';
import type { Authorise } from './authorise.ts';
import type { Caller } from './call.ts';
import { KmsError } from '../core/errors.ts';

export interface ReadLogDeps {
  readonly authorise: Authorise;
  readonly reader: AuditReader;
}

/** Either lets a caller check the log; neither shows an entry of it. */
const CHECKERS = ['kms:audit', 'kms:read'] as const;

/** GET /audit/checkpoint, /audit/tile/… and /audit/keys: what a verifier of the whole log needs. */
export function makeReadLog({ authorise, reader }: ReadLogDeps) {
  return {
    /** The newest checkpoint: a signed note. */
    checkpoint(caller: Caller): string {
      authorise.any(caller, CHECKERS);
      const checkpoint = reader.checkpoint();
      if (checkpoint === undefined) throw new KmsError('AuditUnavailable', { hint: 'no checkpoint is signed yet' });
      return checkpoint.note;
    },

    /** Hashes tell nothing, as every entry is salted; the entries of a bundle are everybody's, so it is the operator's. */
    async tile(caller: Caller, { level, index, width }: TileName): Promise<Buffer> {
      if (level === 'entries') authorise.instance(caller, 'kms:audit');
      else authorise.any(caller, CHECKERS);
      const tile = await reader.tile(level, index, width);
      if (tile === undefined) throw new KmsError('NotFound');
      return tile;
    },

    keys(caller: Caller): { readonly origin: string; readonly keys: readonly LogKey[] } {
      authorise.any(caller, CHECKERS);
      return { origin: reader.origin, keys: reader.keys() };
    },
  };
}
