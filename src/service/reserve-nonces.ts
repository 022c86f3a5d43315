import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { KeyStore } from '../ports/key-store.ts';
import type { Random } from '../ports/random.ts';
import type { Anchoring } from './anchoring.ts';
import type { Outcome, Subject } from './call.ts';
import type { Outcomes } from './outcomes.ts';
import { KmsError } from '../core/errors.ts';
import { eventOf, ownCall } from './call.ts';
import { hashOfBody } from './mutate.ts';

export interface ReserveNoncesDeps {
  readonly store: KeyStore;
  readonly log: { readonly audit: AuditLog; readonly outcomes: Outcomes };
  readonly anchoring: Pick<Anchoring, 'afterMutation'> | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** Sets aside nonces for an AEAD version; those who ask for the same one at once wait for one reservation. */
export type ReserveNonces = (subject: Subject, asked: bigint | undefined) => Promise<void>;

const FLUSHED = { mustFlush: true };
const RESERVED = 'nonces reserved';

/**
 * A mutation of the service's own, so it is in the log as one: an older copy of the store, in which these nonces are
 * still free, then has a generation that the log knows to be past.
 */
export function makeReserveNonces({ store, log: { audit, outcomes }, anchoring, clock, random }: ReserveNoncesDeps): ReserveNonces {
  const underWay = new Map<string, Promise<void>>();

  const reserve = async (subject: Subject, asked: bigint | undefined): Promise<void> => {
    const call = ownCall('wrap', { clock, random }, subject);
    const inputHash = hashOfBody({ kid: subject.version.kid });
    const entry = (outcome: Omit<Outcome, 'inputHash'>) => eventOf(call, { inputHash, ...outcome });
    const { firstIndex: intent } = await audit.append([entry({ result: 'intent', reason: RESERVED })], FLUSHED);
    const generation = await store.reserveNonces(subject.version.kid, asked, intent).catch(async (fault: unknown) => {
      const refusal = KmsError.from(fault);
      await outcomes.append(entry({ result: refusal.code, reason: refusal.hint }));
      throw refusal;
    });
    await outcomes.append(entry({ result: 'ok', reason: RESERVED, generation }));
    await anchoring?.afterMutation();
  };

  return async (subject, asked) => {
    const { kid } = subject.version;
    const before = underWay.get(kid);
    if (before !== undefined) return before;
    const own = reserve(subject, asked).finally(() => underWay.delete(kid));
    underWay.set(kid, own);
    return own;
  };
}
