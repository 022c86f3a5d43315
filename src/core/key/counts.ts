/** How many keys there are, by tenant and algorithm; destroyed ones too, as their records stay. */
export interface KeyCounts {
  add(tenant: string, alg: string, keys?: number): void;
  ofTenant(tenant: string): number;
  /** By tenant and algorithm; beyond so many tenants together as `other`. */
  entries(tenantsMax: number): readonly (readonly [of: readonly [tenant: string, alg: string], keys: number])[];
}

export function createKeyCounts(): KeyCounts {
  const tenants = new Map<string, Map<string, number>>();
  return {
    add(tenant, alg, keys = 1) {
      let byAlg = tenants.get(tenant);
      if (byAlg === undefined) tenants.set(tenant, (byAlg = new Map()));
      byAlg.set(alg, (byAlg.get(alg) ?? 0) + keys);
    },
    ofTenant: (tenant) => [...(tenants.get(tenant)?.values() ?? [])].reduce((sum, keys) => sum + keys, 0),
    entries(tenantsMax) {
      const named = [...tenants].slice(0, tenantsMax);
      const others = new Map<string, number>();
      for (const [, byAlg] of [...tenants].slice(tenantsMax)) for (const [alg, keys] of byAlg) others.set(alg, (others.get(alg) ?? 0) + keys);
      return [...named, ...(others.size > 0 ? [['other', others] as const] : [])].flatMap(([tenant, byAlg]) => Array.from(byAlg, ([alg, keys]) => [[tenant, alg], keys] as const));
    },
  };
}
