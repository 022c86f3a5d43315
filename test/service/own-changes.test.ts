import type { KeyRecord } from '../../src/core/key/record.ts';
import type { KnownEnd } from '../../src/service/known-ends.ts';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createInmemStore } from '../../src/adapters/store-inmem/store.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { KmsError } from '../../src/core/errors.ts';
import { makeHousekeeping } from '../../src/service/housekeeping.ts';
import { makeKeyRules } from '../../src/service/key-rules.ts';
import { makeMakeVersion } from '../../src/service/make-version.ts';
import { makeMutate } from '../../src/service/mutate.ts';
import { createOutcomes } from '../../src/service/outcomes.ts';
import { makeOwnChanges } from '../../src/service/own-changes.ts';
import { createWorkQueue } from '../../src/service/work-queue.ts';
import { openBreakableLog } from '../harness/breakable-log.ts';
import { entriesFrom } from '../harness/entries.ts';
import { keyRecord } from '../harness/key-record.ts';

const BASE = 'core/audit/ed25519/01890000-0000-7000-8000-000000000001';
const OTHER = BASE.replace('0001', '0002');
const DAY_MS = 86_400_000;

/** A store with these keys, a log, and a custody that says what it erased, and how the key stood then. */
async function open(...keys: readonly KeyRecord[]) {
  const state = { nowMs: Date.parse('2026-11-28T12:00:00Z'), isAllowed: true, isTrusted: true, erases: async (): Promise<void> => undefined };
  const clock = { wallMs: () => state.nowMs, monotonicNs: () => process.hrtime.bigint() };
  const random = createSystemRandom();
  const log = await openBreakableLog({ clock });
  onTestFinished(() => log.stop());
  const store = createInmemStore();
  for (const key of keys) await store.commit({ put: () => key });
  const before = log.size();
  const stateOf = async (base = BASE): Promise<readonly string[]> => (await store.find(base))?.versions.map((version) => version.state) ?? [];
  const erased: (readonly string[])[] = [];
  const custody = {
    generate: async () => ({ publicParts: [], attestationClass: 'test' }),
    async erase({ kid }: { readonly kid: string }) {
      erased.push([kid, ...(await stateOf(kid.split('#')[0]))]);
      await state.erases();
    },
  } as never;
  const outcomes = createOutcomes({ audit: log });
  const mutate = makeMutate({ store, log: { audit: log, outcomes }, anchoring: undefined, clock, signing: createWorkQueue({ width: 4, rushWidth: 4, max: () => 4, full: {}, clock }), requireWritable: () => undefined });
  const rules = makeKeyRules(() => ({ allowed: new Set(['ed25519']) }), store);
  const decide = async (): Promise<never> => {
    if (!state.isAllowed) throw new KmsError('PolicyDenied');
    return undefined as never;
  };
  const own = makeOwnChanges({ store, custody, mutate, make: { version: makeMakeVersion({ custody, clock }), rules, decide: decide as never }, clock, random });
  const told: unknown[] = [];
  const housekeeping = makeHousekeeping({ store, own, clocks: { clock, guard: { isTrusted: () => state.isTrusted } as never }, telemetry: { event: (...words: unknown[]) => { told.push(words); } } as never });
  const entries = async (): Promise<readonly string[]> => (await entriesFrom(log, before)).map(({ op, result, kid, actor }) => `${op} ${result} ${kid?.split('#')[1]} ${actor.via}`);
  return { state, store, own, stateOf, erased, entries, housekeeping, told };
}

const end = (state: KnownEnd['state'], version = 1, base = BASE): KnownEnd => ({ base, version, state });

describe('what was ended before a restore is ended again', () => {
  test('a hold is a hold, of that version alone', async () => {
    const { own, store, stateOf, entries, erased } = await open(keyRecord(BASE, { custodyBlob: Buffer.of(1), sealedGeneration: 1 }, {}));
    await own.endAgain(end('disabled'));
    expect((await store.find(BASE))?.versions[0]).toMatchObject({ custodyBlob: Buffer.of(1), sealedGeneration: 1 });
    expect([await stateOf(), await entries(), erased]).toEqual([['disabled', 'enabled'], ['disable intent v1 service', 'disable ok v1 service'], []]);
  });

  test('a schedule has its time anew: seven days from now, and can be taken back', async () => {
    const { own, store, state } = await open(keyRecord(BASE, { state: 'disabled' }));
    await own.endAgain(end('scheduled'));
    expect((await store.find(BASE))?.versions[0]).toMatchObject({ state: 'scheduled', restoreTo: 'disabled', destroyAtMs: state.nowMs + 7 * DAY_MS });
  });

  test('a destruction is a schedule and a destruction, as it was: the private part is gone before the record says so', async () => {
    const { own, store, stateOf, entries, erased } = await open(keyRecord(BASE, {}, { custodyBlob: Buffer.of(1), sealedGeneration: 1 }));
    await own.endAgain(end('destroyed', 2));
    expect(await stateOf()).toEqual(['enabled', 'destroyed']);
    expect(await entries()).toEqual(['destroy intent v2 service', 'destroy ok v2 service', 'destroy intent v2 service', 'destroy ok v2 service']);
    expect(erased).toEqual([[`${BASE}#v2`, 'enabled', 'scheduled']]);
    expect((await store.find(BASE))?.versions[1]).not.toHaveProperty('custodyBlob');
  });

  test('of what the backup has scheduled the destruction alone is left', async () => {
    const { own, stateOf, entries, erased } = await open(keyRecord(BASE, { state: 'scheduled', destroyAtMs: Number.MAX_SAFE_INTEGER, restoreTo: 'enabled' }));
    await own.endAgain(end('destroyed'));
    expect([await stateOf(), await entries(), erased.length]).toEqual([['destroyed'], ['destroy intent v1 service', 'destroy ok v1 service'], 1]);
  });

  test('what is not there is refused, and nothing is written', async () => {
    const { own, entries } = await open(keyRecord(BASE, {}));
    for (const known of [end('disabled', 2), end('disabled', 1, OTHER), end('destroyed', 1, OTHER)]) await expect(own.endAgain(known)).rejects.toMatchObject({ code: 'NotFound' });
    expect(await entries()).toEqual([]);
  });
});

const due = { state: 'scheduled', destroyAtMs: 1000, restoreTo: 'enabled' } as const;

describe('an erasure', () => {
  test('is of a version that is scheduled and whose time has come, and of no other', async () => {
    const { own, state, erased, entries } = await open(keyRecord(BASE, {}, { ...due, destroyAtMs: Date.parse('2026-11-28T12:00:01Z') }));
    for (const version of [1, 2]) await expect(own.erase(BASE, version)).rejects.toMatchObject({ code: 'KeyState' });
    await expect(own.erase(BASE, 3)).rejects.toMatchObject({ code: 'NotFound' });
    expect([erased, await entries()]).toEqual([[], []]);
    state.nowMs += 1000;
    await own.erase(BASE, 2);
    expect([erased, await entries()]).toEqual([[[`${BASE}#v2`, 'enabled', 'scheduled']], ['destroy intent v2 service', 'destroy ok v2 service']]);
  });

  test('of one version leaves another whose time has come as it is, until its own turn', async () => {
    const { own, stateOf, erased } = await open(keyRecord(BASE, due, due));
    await own.erase(BASE, 2);
    expect([await stateOf(), erased.map(([kid]) => kid)]).toEqual([['scheduled', 'destroyed'], [`${BASE}#v2`]]);
  });

  test('that custody does not do leaves the version scheduled, and the log says so; the next one does it', async () => {
    const { own, state, stateOf, entries } = await open(keyRecord(BASE, due));
    state.erases = () => Promise.reject(new KmsError('StoreUnavailable'));
    await expect(own.erase(BASE, 1)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect([await stateOf(), await entries()]).toEqual([['scheduled'], ['destroy intent v1 service', 'destroy StoreUnavailable v1 service']]);
    state.erases = async () => undefined;
    await own.erase(BASE, 1);
    expect(await stateOf()).toEqual(['destroyed']);
  });
});

describe('a rotation', () => {
  test('makes the next version, and is about it', async () => {
    const { own, stateOf, entries } = await open(keyRecord(BASE, { state: 'disabled' }, {}));
    await own.rotate(BASE);
    expect([await stateOf(), await entries()]).toEqual([['disabled', 'enabled', 'enabled'], ['rotate intent v2 service', 'rotate ok v3 service']]);
  });

  test('of a key that is held as a whole, that is not there, or that the policy has a no for, is refused before anything is written', async () => {
    const { own, state, entries } = await open(keyRecord(BASE, { state: 'disabled' }), keyRecord(OTHER, {}));
    await expect(own.rotate(BASE)).rejects.toMatchObject({ code: 'KeyState' });
    await expect(own.rotate(BASE.replace('0001', '0003'))).rejects.toMatchObject({ code: 'NotFound' });
    state.isAllowed = false;
    await expect(own.rotate(OTHER)).rejects.toMatchObject({ code: 'PolicyDenied' });
    expect(await entries()).toEqual([]);
  });
});

describe('housekeeping', () => {
  const keys = [keyRecord(BASE, due), { ...keyRecord(OTHER, {}), rotateAfterMs: DAY_MS }] as const;

  test('erases and rotates what is due, and does nothing while the clock is doubted', async () => {
    const { housekeeping, state, stateOf, told } = await open(...keys);
    state.isTrusted = false;
    await housekeeping();
    expect([await stateOf(), await stateOf(OTHER)]).toEqual([['scheduled'], ['enabled']]);
    state.isTrusted = true;
    await housekeeping();
    await housekeeping();
    expect([await stateOf(), await stateOf(OTHER), told]).toEqual([['destroyed'], ['enabled', 'enabled'], []]);
  });

  test('goes on with the next where one does not work, and says so', async () => {
    const { housekeeping, state, stateOf, told } = await open(...keys);
    state.erases = () => Promise.reject(new KmsError('StoreUnavailable'));
    await housekeeping();
    expect([await stateOf(), await stateOf(OTHER)]).toEqual([['scheduled'], ['enabled', 'enabled']]);
    expect(told).toEqual([['error', 'housekeeping_failed', { code: 'StoreUnavailable' }]]);
  });
});
