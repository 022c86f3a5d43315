import type { AuditEvent, EntryDetail, Op } from '../../core/log/entry.ts';
import type { Random } from '../../ports/random.ts';
import { canonicalJson } from '../../core/canonical-json.ts';
import { blake3Hex } from '../../core/digest.ts';

/** An entry of the log itself: what it says besides is its input. */
export function ownEvent(op: Op, detail: EntryDetail, random: Random): AuditEvent {
  const id = random.uuidv7();
  return {
    op, op_id: id, corr_id: id, detail,
    input_hash: blake3Hex(canonicalJson(detail)),
    result: 'ok',
    actor: { via: 'service' },
    tenant: undefined, kid: undefined, alg: undefined, purpose: undefined, reason: undefined, policy: undefined, generation: undefined,
  };
}
