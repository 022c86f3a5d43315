import type { KeyRecord } from '../core/key/record.ts';
import type { Policy, PolicyAnswer, PolicyQuestion } from '../ports/policy.ts';
import type { Call } from './call.ts';
import { KmsError } from '../core/errors.ts';

/** What is asked about: a key, or one that is yet to be made. */
type Asked = Pick<KeyRecord, 'tenant' | 'purpose' | 'alg' | 'labels'> & { readonly base?: string; readonly policyHints?: KeyRecord['policyHints'] | undefined };

type Requested = PolicyQuestion['requested'];

/** Has the policy decide on a call, which the entry then tells of; throws `PolicyDenied` or `PolicyUnavailable`. */
export interface Decide {
  (call: Call, key: Asked, requested?: Requested): Promise<PolicyAnswer>;
  /** For what must go on when nobody can be asked (DESIGN §6): the operator's own rules, then. */
  orOwn(call: Call, key: Asked, requested: Requested): Promise<PolicyAnswer & { readonly isDegraded: boolean }>;
}

export function makeDecide(policy: Policy): Decide {
  const decide = async (call: Call, key: Asked, requested: Requested = {}): Promise<PolicyAnswer> => {
    const answer = await policy.decide(questionOf(call, key, requested));
    call.policy = answer;
    if (!answer.isAllowed) throw new KmsError('PolicyDenied', { hint: 'the policy service said no; the entry in the log has its decision_id' });
    return answer;
  };

  return Object.assign(decide, {
    orOwn: async (call: Call, key: Asked, requested: Requested) => {
      try {
        return { ...(await decide(call, key, requested)), isDegraded: false };
      } catch (fault) {
        if (!(fault instanceof KmsError) || fault.code !== 'PolicyUnavailable') throw fault;
        const own = policy.own(key.tenant);
        call.policy = own;
        return { ...own, isDegraded: true };
      }
    },
  });
}

function questionOf({ op, caller, corrId, subject }: Call, { base, tenant, purpose, alg, labels, policyHints }: Asked, requested: Requested): PolicyQuestion {
  return {
    op, tenant, purpose, alg, labels, policyHints, requested, corrId,
    kid: subject?.key.base === base ? subject?.version.kid : base,
    clientId: caller?.identity.clientId,
    peer: caller?.peer,
  };
}
