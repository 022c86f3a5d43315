import type { Tightening } from '../../core/policy/decision.ts';
import type { VerifyMode } from '../../core/bundle/modes.ts';
import { verifyModes } from '../../core/bundle/modes.ts';

/** What the policy service said. */
export interface Verdict extends Tightening {
  readonly isAllowed: boolean;
  readonly decisionId?: string;
}

/** An entry of the log has it. */
const DECISION_ID = /^[\x21-\x7e]{1,128}$/;
const REASON_MAX = 4096;

const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isDecisionId = (value: unknown): value is string => typeof value === 'string' && DECISION_ID.test(value);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** What may stand in `result` (DESIGN §6), and how it must look. */
const resultFields: Readonly<Record<string, (value: unknown) => boolean>> = {
  allow: isBoolean,
  mode: (value) => verifyModes.some((mode) => mode === value),
  produce_hybrid: isBoolean,
  require_attestation: isBoolean,
  quotas: (value) => isObject(value) && Object.entries(value).every(([name, count]) => ['rps', 'inflight', 'keys'].includes(name) && isCount(count)),
  reason: (value) => typeof value === 'string' && value.length <= REASON_MAX,
  decision_id: isDecisionId,
};

/**
 * Reads an answer of OPA's Data API. Throws when anything of it is not as agreed, an unknown field too: a misspelt one
 * would be a rule that is silently not applied. An undefined decision is `{}`, and no answer either.
 */
export function verdictOf(answer: object): Verdict {
  const { result, decision_id: loggedAs } = answer as Readonly<Record<string, unknown>>;
  if (!isObject(result) || !isBoolean(result['allow'])) throw new Error('its answer has no result.allow');
  for (const [name, value] of Object.entries(result)) {
    if (!Object.hasOwn(resultFields, name) || resultFields[name]?.(value) !== true) throw new Error('its answer has a field that is not agreed, or of another type');
  }
  const quotas = (result['quotas'] ?? {}) as Readonly<Record<string, number>>;
  const decisionId = result['decision_id'] ?? loggedAs;
  return {
    isAllowed: result['allow'],
    ...(result['mode'] !== undefined && { mode: result['mode'] as VerifyMode }),
    ...(result['produce_hybrid'] === true && { produceHybrid: true }),
    ...(result['require_attestation'] === true && { isEvidenceRequired: true }),
    quotas: { ...one('rps', quotas['rps']), ...one('inFlight', quotas['inflight']), ...one('keys', quotas['keys']) },
    ...(isDecisionId(decisionId) && { decisionId }),
  };
}

function one<N extends string>(name: N, value: number | undefined): { readonly [K in N]?: number } {
  return value === undefined ? {} : { [name]: value } as { readonly [K in N]?: number };
}
