import type { KeyRecord } from '../../core/key/record.ts';
import type { DueWork, KeyQuery, KeyStore, OperationRecord } from '../../ports/key-store.ts';
import { createKeyCounts } from '../../core/key/counts.ts';
import { currentVersion } from '../../core/key/record.ts';
import { LAST_NONCE } from '../../ports/key-store.ts';
import { canUse } from '../../core/key/lifecycle.ts';

/** How far beyond the last nonce a caller may jump (DESIGN §3). */
const NONCE_JUMP_MAX = 2n ** 32n;

/**
 * Key records in RAM, by base, and by tenant in the order of creation. Beside a log that outlives it, it counts its
 * mutations on from the last one there.
 */
export function createInmemStore({ firstGeneration = 0 }: { readonly firstGeneration?: number } = {}): KeyStore {
  const keys = new Map<string, KeyRecord>();
  const basesByTenant = new Map<string, string[]>();
  const operations = new Map<string, OperationRecord>();
  const nonces = new Map<string, bigint>();
  /** Keys with a date on them: the only ones that `due` looks at. */
  const dated = new Set<string>();
  const counts = createKeyCounts();
  let generation = firstGeneration;

  const put = (key: KeyRecord): void => {
    if (!keys.has(key.base)) {
      counts.add(key.tenant, key.alg);
      const bases = basesByTenant.get(key.tenant);
      if (bases === undefined) basesByTenant.set(key.tenant, [key.base]);
      else bases.push(key.base);
    }
    keys.set(key.base, key);
    if (key.rotateAfterMs !== undefined || key.versions.some(({ state }) => state === 'scheduled')) dated.add(key.base);
    else dated.delete(key.base);
  };

  /** Behind all others, also when its scope was there before. */
  const keep = (operation: OperationRecord): void => {
    operations.delete(operation.scope);
    operations.set(operation.scope, operation);
  };

  /** All are kept as long, so the oldest stand first, but for those of a wall clock that went back: they go a little later. */
  const dropExpired = (nowMs: number): void => {
    for (const [scope, { expiresAtMs }] of operations) {
      if (expiresAtMs > nowMs) return;
      operations.delete(scope);
    }
  };

  return {
    async find(base) {
      return keys.get(base);
    },

    async list(query) {
      const bases = query.tenant === undefined ? [...keys.keys()] : (basesByTenant.get(query.tenant) ?? []);
      const found: KeyRecord[] = [];
      for (let i = query.after === undefined ? 0 : bases.indexOf(query.after) + 1; i < bases.length; i++) {
        const key = keys.get(bases[i] ?? '');
        if (key === undefined || !matches(key, query)) continue;
        if (found.length === query.limit) return { keys: found, next: found.at(-1)?.base ?? '' };
        found.push(key);
      }
      return { keys: found };
    },

    async commit({ put: recordOf, operation }) {
      const key = recordOf(generation + 1);
      generation++;
      put(key);
      if (operation !== undefined) keep({ ...operation, key });
      return { generation, key };
    },

    async findOperation(scope, nowMs) {
      dropExpired(nowMs);
      const operation = operations.get(scope);
      return operation !== undefined && operation.expiresAtMs > nowMs ? operation : undefined;
    },

    async takeNonce(kid, asked) {
      const last = nonces.get(kid) ?? 0n;
      const next = asked ?? last + 1n;
      if (next <= last || next - last > NONCE_JUMP_MAX || next > LAST_NONCE) return undefined;
      nonces.set(kid, next);
      return next;
    },

    // Nothing outlives the process, so all that there are may be given out.
    async reserveNonces(kid, asked) {
      if (asked === LAST_NONCE) nonces.set(kid, LAST_NONCE);
      return generation;
    },
    isSpent: async (kid) => nonces.get(kid) === LAST_NONCE,

    async due(nowMs) {
      return [...dated].flatMap((base) => dueOf(keys.get(base), nowMs));
    },

    keyCounts: () => counts,
    generation: () => generation,
    async changesAbove() {
      return new Map();
    },
    integrity: () => undefined,
    isReady: () => true,
    async close() {
      keys.clear();
    },
  };
}

function matches(key: KeyRecord, { tenant, purpose, alg, state, label, admits }: KeyQuery): boolean {
  return (tenant === undefined || key.tenant === tenant)
    && (purpose === undefined || key.purpose === purpose)
    && (alg === undefined || key.alg === alg)
    && (state === undefined || currentVersion(key).state === state)
    && (label === undefined || (Object.hasOwn(key.labels, label.name) && key.labels[label.name] === label.value))
    && admits(key);
}

function dueOf(key: KeyRecord | undefined, nowMs: number): readonly DueWork[] {
  if (key === undefined) return [];
  const erasures = key.versions.flatMap(({ version, destroyAtMs }) => (destroyAtMs !== undefined && destroyAtMs <= nowMs ? [{ base: key.base, eraseVersion: version }] : []));
  const { state, createdAtMs } = currentVersion(key);
  const isRotationDue = key.rotateAfterMs !== undefined && canUse(state) && createdAtMs + key.rotateAfterMs <= nowMs;
  return isRotationDue ? [...erasures, { base: key.base }] : erasures;
}
