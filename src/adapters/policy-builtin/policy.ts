import type { PqStage, TenantRules } from '../../core/policy/decision.ts';
import type { Policy } from '../../ports/policy.ts';
import { decidePq } from '../../core/policy/decision.ts';

/** What the operator set, as it stands. */
export interface OwnRules {
  readonly stage: PqStage;
  readonly tenants: ReadonlyMap<string, TenantRules>;
}

/** `policy.mode = "builtin"`: the operator's own settings, nobody else asked. */
export function createBuiltinPolicy(rules: () => OwnRules): Policy {
  return {
    async decide({ tenant }) {
      const { stage, tenants } = rules();
      return decidePq(tenant, stage, tenants.get(tenant));
    },
  };
}
