import type { PqStage, TenantRules } from '../../core/policy/decision.ts';
import type { Policy } from '../../ports/policy.ts';
import { decidePq } from '../../core/policy/decision.ts';

/** `policy.mode = "builtin"`: the operator's own settings, nobody else asked. */
export function createBuiltinPolicy({ stage, tenants }: { readonly stage: PqStage; readonly tenants: ReadonlyMap<string, TenantRules> }): Policy {
  return {
    async decide({ tenant }) {
      return decidePq(tenant, stage, tenants.get(tenant));
    },
  };
}
