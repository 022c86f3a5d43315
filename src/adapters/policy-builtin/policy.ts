import type { OwnRules } from '../../core/policy/decision.ts';
import type { Policy } from '../../ports/policy.ts';
import { decideOwn } from '../../core/policy/decision.ts';

/** `policy.mode = "builtin"`: the operator's own settings as they stand, nobody else asked. */
export function createBuiltinPolicy(rules: () => OwnRules): Policy {
  const own: Policy['own'] = (tenant) => ({ ...decideOwn(tenant, rules()), isAllowed: true });
  return { own, decide: async ({ tenant }) => own(tenant) };
}
