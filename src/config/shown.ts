import type { Config } from './load.ts';
import type { ConfigPath, tenantKeys } from './keys.ts';
import type { Kind } from './kinds.ts';
import { configKeys } from './keys.ts';

/** The value as it is written in a file; in a URL, everything but the place may be a secret. */
export function shown(path: ConfigPath, value: unknown): string | number | boolean | readonly (string | number)[] | null {
  if (value === undefined) return null;
  const text = (configKeys[path].kind as Kind<unknown>).show(value);
  const url = typeof text === 'string' ? URL.parse(text) : null;
  if (url === null || !url.protocol.startsWith('http')) return text;
  const place = `${url.origin}${url.pathname}`;
  return url.href === place ? text : `${place} (the rest is hidden)`;
}

/** By tenant, its rules under their names in the file. */
export function shownTenants({ tenants }: Pick<Config, 'tenants'>): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  return Object.fromEntries([...tenants].map(([name, { verifyMode, produceHybrid, classicalOk, attestRequire, quotas }]) => {
    const rules: Readonly<Record<keyof typeof tenantKeys, unknown>> = {
      'verify_mode': verifyMode, 'produce_hybrid': produceHybrid, 'classical_ok': classicalOk, 'attest_require': attestRequire,
      'quotas.rps': quotas?.rps, 'quotas.inflight': quotas?.inFlight, 'quotas.keys': quotas?.keys,
    };
    return [name, Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== undefined))];
  }));
}
