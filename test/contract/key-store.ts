import type { KeyRecord, VersionRecord } from '../../src/core/key/record.ts';
import type { KeyQuery, KeyStore } from '../../src/ports/key-store.ts';
import { LAST_NONCE } from '../../src/ports/key-store.ts';
import { describe, expect, test } from 'vitest';

const everything: KeyQuery = { tenant: undefined, purpose: undefined, alg: undefined, state: undefined, label: undefined, after: undefined, limit: 1000, admits: () => true };

/** What every key store has to do; each adapter's test runs the same suite. */
export function keyStoreContract(name: string, open: () => Promise<KeyStore>): void {
  describe(`key store ${name}`, () => {
    test('finds what was committed, as it was last', async () => {
      const store = await open();
      await store.commit({ put: () => keyOf(1) });
      await store.commit({ put: () => keyOf(1, { labels: { a: 'b' } }) });
      expect((await store.find(keyOf(1).base))?.labels).toEqual({ a: 'b' });
      expect(await store.find(keyOf(2).base)).toBeUndefined();
      expect(store.generation()).toBe(2);
    });

    test('numbers its mutations, also those that come at once: each has its own, up by one', async () => {
      const store = await open();
      const before = store.generation();
      const taken = await Promise.all(Array.from({ length: 50 }, (_, i) => store.commit({ put: () => keyOf(1 + (i % 7)) })));
      expect(taken.map(({ generation }) => generation)).toEqual(Array.from({ length: 50 }, (_, i) => before + 1 + i));
      expect(store.generation()).toBe(before + 50);
    });

    test('counts keys by tenant and algorithm: a changed one once, destroyed ones too, one that was not taken not at all', async () => {
      const store = await open();
      await Promise.all([1, 2, 3].map((i) => store.commit({ put: () => keyOf(i) })));
      await store.commit({ put: () => keyOf(1, { labels: { a: 'b' } }) });
      await store.commit({ put: () => keyOf(4, { tenant: 'other' }) });
      await store.commit({ put: () => { throw new Error('no key after all'); } }).catch(() => undefined);
      const counts = store.keyCounts();
      expect([counts.ofTenant('core'), counts.ofTenant('other'), counts.ofTenant('nobody')]).toEqual([3, 1, 0]);
      const { alg } = keyOf(1);
      expect(counts.entries(2)).toEqual([[['core', alg], 3], [['other', alg], 1]]);
      expect(counts.entries(1)).toEqual([[['core', alg], 3], [['other', alg], 1]]);
      expect(counts.entries(0)).toEqual([[['other', alg], 4]]);
    });

    test('lists in the order of creation, page by page, each key once', async () => {
      const store = await open();
      for (let i = 1; i <= 25; i++) await store.commit({ put: () => keyOf(i, i % 2 === 0 ? { tenant: 'other' } : {}) });
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await store.list({ ...everything, limit: 7, after });
        seen.push(...page.keys.map(({ base }) => base));
        after = page.next;
      } while (after !== undefined);
      expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => keyOf(i + 1, (i + 1) % 2 === 0 ? { tenant: 'other' } : {}).base));
    });

    test('lists only what the query names and the caller may see', async () => {
      const store = await open();
      await store.commit({ put: () => keyOf(1, { labels: { env: 'prod' } }) });
      await store.commit({ put: () => keyOf(2, { purpose: 'release' }) });
      await store.commit({ put: () => keyOf(3, { tenant: 'other' }) });
      const bases = async (query: Partial<KeyQuery>) => (await store.list({ ...everything, ...query })).keys.map(({ base }) => base.slice(-1));
      expect(await bases({ tenant: 'core' })).toEqual(['1', '2']);
      expect(await bases({ purpose: 'release' })).toEqual(['2']);
      expect(await bases({ label: { name: 'env', value: 'prod' } })).toEqual(['1']);
      expect(await bases({ label: { name: 'toString', value: 'prod' } })).toEqual([]);
      expect(await bases({ state: 'disabled' })).toEqual([]);
      expect(await bases({ admits: ({ tenant }) => tenant === 'other' })).toEqual(['3']);
    });

    test('keeps an operation until its time is over', async () => {
      const store = await open();
      const operation = { scope: 'a', bodyHash: 'x', expiresAtMs: 1000 };
      await store.commit({ put: () => keyOf(1), operation });
      expect((await store.findOperation('a', 999))?.bodyHash).toBe('x');
      expect(await store.findOperation('b', 999)).toBeUndefined();
      expect(await store.findOperation('a', 1000)).toBeUndefined();
    });

    test('keeps no operation longer because one of before the clock was put back is kept still', async () => {
      const store = await open();
      await store.commit({ put: () => keyOf(1), operation: { scope: 'before', bodyHash: 'x', expiresAtMs: 9000 } });
      await store.commit({ put: () => keyOf(1), operation: { scope: 'behind', bodyHash: 'y', expiresAtMs: 1000 } });
      expect(await store.findOperation('behind', 1000)).toBeUndefined();
      await store.commit({ put: () => keyOf(1), operation: { scope: 'behind', bodyHash: 'z', expiresAtMs: 2000 } });
      expect((await store.findOperation('behind', 1999))?.bodyHash).toBe('z');
      expect((await store.findOperation('before', 1999))?.bodyHash).toBe('x');
    });

    test('gives a nonce once: counted up, or asked for above the last and at most 2^32 beyond', async () => {
      const store = await open();
      const { key: { versions: [{ kid } = versionOf(0)] } } = await store.commit({ put: () => keyOf(1) });
      const { key: { versions: [{ kid: other } = versionOf(0)] } } = await store.commit({ put: () => keyOf(2) });
      expect(await take(store, kid, undefined)).toBe(1n);
      expect(await take(store, kid, 1n)).toBeUndefined();
      expect(await take(store, kid, 0n)).toBeUndefined();
      expect(await take(store, kid, 1n + 2n ** 32n)).toBe(1n + 2n ** 32n);
      expect(await take(store, kid, 2n + 2n ** 33n)).toBeUndefined();
      const many = await Promise.all(Array.from({ length: 200 }, () => take(store, kid, undefined)));
      expect(new Set(many).size).toBe(200);
      expect(many.every((nonce) => nonce !== undefined && nonce > 1n + 2n ** 32n)).toBe(true);
      expect(await take(store, other, undefined)).toBe(1n);
    });

    test('gives no nonce any more once all are set aside', async () => {
      const store = await open();
      const { key: { versions: [{ kid } = versionOf(0)] } } = await store.commit({ put: () => keyOf(1) });
      expect(await take(store, kid, undefined)).toBe(1n);
      expect(await store.isSpent(kid)).toBe(false);
      await store.reserveNonces(kid, LAST_NONCE);
      expect(await store.isSpent(kid)).toBe(true);
      for (const asked of [undefined, 2n, LAST_NONCE]) expect(await store.takeNonce(kid, asked)).toBeUndefined();
    });

    test('says what is due, and nothing else', async () => {
      const store = await open();
      await store.commit({ put: () => keyOf(1, { rotateAfterMs: 100 }) });
      await store.commit({ put: () => keyOf(2, { versions: [versionOf(2, { state: 'scheduled', destroyAtMs: 50, restoreTo: 'enabled' })] }) });
      await store.commit({ put: () => keyOf(3) });
      await store.commit({ put: () => keyOf(4, { rotateAfterMs: 1, versions: [versionOf(4, { state: 'disabled' })] }) });
      expect(await store.due(49)).toEqual([]);
      expect(await store.due(50)).toEqual([{ base: keyOf(2).base, eraseVersion: 1 }]);
      expect((await store.due(100)).length).toBe(2);
      await store.commit({ put: () => keyOf(2, { versions: [versionOf(2, { state: 'destroyed' })] }) });
      expect(await store.due(50)).toEqual([]);
    });
  });
}

/** As the service does: reserves when it is told to. */
async function take(store: KeyStore, kid: string, asked: bigint | undefined): Promise<bigint | undefined> {
  for (;;) {
    const taken = await store.takeNonce(kid, asked);
    if (taken !== 'reserve') return taken;
    await store.reserveNonces(kid, asked);
  }
}

function keyOf(number: number, change: Partial<KeyRecord> = {}): KeyRecord {
  const tenant = change.tenant ?? 'core';
  const base = `${tenant}/${change.purpose ?? 'audit'}/ed25519/01890000-0000-7000-8000-${String(number).padStart(12, '0')}`;
  return { base, tenant, purpose: 'audit', alg: 'ed25519', input: 'b3', labels: {}, createdAtMs: 0, versions: [versionOf(number, { kid: `${base}#v1` })], ...change };
}

function versionOf(number: number, change: Partial<VersionRecord> = {}): VersionRecord {
  return { version: 1, kid: `core/audit/ed25519/01890000-0000-7000-8000-${String(number).padStart(12, '0')}#v1`, kidHash: '', state: 'enabled', createdAtMs: 0, attestationClass: 'inmem', publicParts: [], ...change };
}
