import type { VerifyMode } from '../core/bundle/modes.ts';
import type { Decision } from '../core/policy/decision.ts';

/** Who wants what of which key (DESIGN §6). */
export interface PolicyQuestion {
  readonly op: string;
  readonly tenant: string;
  readonly purpose: string;
  readonly alg: string;
  /** With its version where one is meant; none of a key that is yet to be made. */
  readonly kid: string | undefined;
  /** None when the service asks for itself. */
  readonly clientId: string | undefined;
  /** None on a Unix socket. */
  readonly peer: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly policyHints: Readonly<Record<string, unknown>> | undefined;
  /** Goes along, to be found in the logs of both; decides nothing. */
  readonly corrId: string;
  readonly requested: { readonly mode?: VerifyMode | undefined; readonly produceHybrid?: boolean | undefined };
}

export interface PolicyAnswer extends Decision {
  readonly isAllowed: boolean;
  /** How the policy service has it in its own log. */
  readonly decisionId?: string;
}

/** Decides on each operation; may only tighten what the operator set. */
export interface Policy {
  /** Throws `PolicyUnavailable`. */
  decide(question: PolicyQuestion): Promise<PolicyAnswer>;
  /** What the operator set for a tenant, nobody else asked. */
  own(tenant: string): PolicyAnswer;
}
