import type { PqDecision } from '../core/policy/decision.ts';

interface PolicyQuestion {
  readonly op: string;
  readonly tenant: string;
}

export interface PolicyAnswer extends PqDecision {
  readonly decisionId?: string;
}

/** Decides per tenant and operation; may only tighten what the operator set. Throws `PolicyDenied` or `PolicyUnavailable`. */
export interface Policy {
  decide(question: PolicyQuestion): Promise<PolicyAnswer>;
}
