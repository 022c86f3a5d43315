import type { AuditEvent } from '../../src/core/log/entry.ts';
import type { LogSigner } from '../../src/ports/log-signer.ts';
import type { Call } from '../../src/service/call.ts';
import { describe, expect, test } from 'vitest';
import { createPoolGate } from '../../src/adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../../src/adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../../src/adapters/crypto/signatures.ts';
import { makeLogKeys, openLogSigner } from '../../src/adapters/log-keys/open.ts';
import { makeRootKey } from '../../src/adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../../src/adapters/root-key/root-keys.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { createSystemRandom } from '../../src/adapters/system/random.ts';
import { KmsError } from '../../src/core/errors.ts';
import { beginCall } from '../../src/service/call.ts';
import { makeLogKeyKeeping } from '../../src/service/log-keeping.ts';

const DAY_MS = 86_400_000;
const START_MS = Date.parse('2026-01-01T00:00:00Z');
const INSTANCE = '01932c07-2f4e-7d3a-9b1c-5a4d3e2f1a0b';
const memory = createLockedMemory();
const signatures = createSignaturePrimitives({ memory, gate: createPoolGate(4), publicKeys: createPublicKeyCache(8) });
const NEVER: never[] = [];

/** A log and a signer whose disk may fail, with a clock that is set by hand. */
async function newHouse() {
  let text = '';
  const disk = { fails: false };
  const entries: { event: AuditEvent; mustFlush: boolean | undefined }[] = [];
  const log = { refuses: undefined as KmsError | undefined, size: () => entries.length };
  const now = { ms: START_MS, isTrusted: true };
  const told: string[] = [];
  const deps = {
    instanceId: INSTANCE, rootKeys: rootKeysOf([{ epoch: FIRST_EPOCH, key: makeRootKey(memory) }], INSTANCE, memory), signatures, memory, keyOverlapMs: 30 * DAY_MS,
    file: {
      read: async () => Buffer.from(text),
      async replace(content: string) {
        if (disk.fails) throw new Error('no space left');
        text = content;
      },
    },
  };
  const keepingOf = (signer: LogSigner) => makeLogKeyKeeping({
    signer,
    audit: {
      async append(events, options) {
        if (log.refuses !== undefined) throw log.refuses;
        const firstIndex = entries.length;
        for (const event of events) entries.push({ event, mustFlush: options?.mustFlush });
        return { firstIndex };
      },
      lastEntryMs: () => 0,
      isReady: () => log.refuses === undefined,
    },
    reader: {
      size: log.size,
      checkpoint: () => (note === undefined ? undefined : { note, size: noteSize }),
    },
    changeKeys: async (change) => change(),
    clocks: { clock: { wallMs: () => now.ms, monotonicNs: () => 0n }, guard: { isTrusted: () => now.isTrusted } },
    report: { telemetry: { operation: () => undefined, refused: () => undefined, turnedAway: () => undefined, attested: () => undefined, event: (_level, event, fields) => told.push(`${event} ${JSON.stringify(fields)}`) }, random: createSystemRandom() },
    keyRotationMs: 90 * DAY_MS,
  });
  let note: string | undefined;
  let noteSize = 0;
  let signer = await makeLogKeys({ ...deps, nowMs: START_MS });
  let keeping = keepingOf(signer);
  return {
    disk, log, now, told, entries,
    get signer() { return signer; },
    get keeping() { return keeping; },
    async restart() {
      signer = await openLogSigner(deps);
      keeping = keepingOf(signer);
    },
    /** The log's own entry 0. */
    begin: () => { entries.push({ event: {} as AuditEvent, mustFlush: true }); },
    async checkpoint() {
      noteSize = entries.length;
      note = await signer.sign({ origin: signer.origin, size: noteSize, rootHash: Buffer.alloc(32) }, now.ms);
      return note;
    },
    /** Something else that the service does. */
    fill: (count: number) => { for (let i = 0; i < count; i++) entries.push({ event: {} as AuditEvent, mustFlush: false }); },
  };
}

const adminCall = (): Call => beginCall({ actor: { via: 'tcp', client_id: 'root' }, corrId: 'c', op: 'log-keys', opId: 'change-1', startedNs: 0n });
const command = { isCompromised: false, body: { op_id: 'change-1' } };
const unavailable = new KmsError('AuditUnavailable');

describe('log keys', () => {
  test('change by command: announced under the caller\'s name, flushed, and signing when the answer comes', async () => {
    const house = await newHouse();
    house.begin();
    house.fill(5);
    const call = adminCall();
    const answer = await house.keeping.rotate(call, command);
    expect(answer).toMatchObject({ audit: { index: 6, opId: 'change-1' }, until: '2026-01-31T00:00:00.000Z' });
    expect(call.isLogged).toBe(true);
    expect(house.entries[6]).toMatchObject({ mustFlush: true, event: { op: 'log-keys', op_id: 'change-1', actor: { client_id: 'root' }, detail: { log_keys: { reason: 'command', keys: answer.keys } } } });
    expect(house.entries[6]?.event.detail?.log_keys?.signatures).toHaveLength(2);
    expect(house.signer.keys().slice(2).map(({ vkey, fromIndex }) => [vkey, fromIndex])).toEqual(answer.keys.map((vkey) => [vkey, 6]));
  });

  test('after a compromise the ones before sign no more', async () => {
    const house = await newHouse();
    house.begin();
    await house.keeping.rotate(adminCall(), { ...command, isCompromised: true });
    expect(house.entries[1]?.event.detail?.log_keys).toMatchObject({ reason: 'compromised', until: '2026-01-01T00:00:00.000Z' });
    expect((await house.checkpoint()).match(/— /g)).toHaveLength(2);
  });

  test('change by themselves when they are old enough, each time once, as the service', async () => {
    const house = await newHouse();
    house.begin();
    for (const day of [1, 89.9, 90, 90.1, 100, 179.9, 180, 200]) {
      house.now.ms = START_MS + day * DAY_MS;
      await house.checkpoint();
      await house.keeping.tick();
    }
    expect(house.entries.slice(1).map(({ event }) => [event.op, event.actor, event.result, event.detail?.log_keys?.reason])).toEqual(Array.from({ length: 2 }, () => ['log-keys', { via: 'service' }, 'ok', 'scheduled']));
    expect(house.told).toEqual(['log_keys_changed {"index":1}', 'log_keys_changed {"index":2}']);
    house.now.ms = START_MS + 215 * DAY_MS;
    await house.keeping.tick();
    expect(house.signer.keys().map(({ untilIndex }) => untilIndex === undefined)).toEqual([false, false, false, false, true, true]);
    expect(house.signer.keys().map(({ transitionCheckpoint }) => transitionCheckpoint !== undefined)).toEqual([false, false, true, true, true, true]);
  });

  test('stay while the clock is doubted, and while the log takes no entries', async () => {
    const house = await newHouse();
    house.begin();
    house.now.ms += 91 * DAY_MS;
    house.now.isTrusted = false;
    await house.keeping.tick();
    house.now.isTrusted = true;
    house.log.refuses = unavailable;
    await house.keeping.tick();
    expect([house.entries.length, house.told]).toEqual([1, NEVER]);
    house.log.refuses = undefined;
    await house.keeping.tick();
    expect(house.entries).toHaveLength(2);
  });

  test('change one at a time, however many ask', async () => {
    const house = await newHouse();
    house.begin();
    const answers = await Promise.all([1, 2, 3].map(() => house.keeping.rotate(adminCall(), command)));
    expect(answers.map(({ audit }) => audit.index)).toEqual([1, 2, 3]);
    expect(house.entries.map(({ event }) => event.detail?.log_keys?.signatures?.length)).toEqual([undefined, 2, 4, 6]);
    await expect(house.keeping.rotate(adminCall(), command)).rejects.toMatchObject({ code: 'KeyState' });
    await house.keeping.rotate(adminCall(), { ...command, isCompromised: true });
  });
});

describe('a change that is cut short', () => {
  test('by itself is tried again after a minute, not with every look', async () => {
    const house = await newHouse();
    house.begin();
    let tries = 0;
    house.signer.prepare = async () => {
      tries++;
      throw unavailable;
    };
    house.now.ms += 91 * DAY_MS;
    const lookAfter = async (ms: number): Promise<number> => {
      house.now.ms += ms;
      await house.keeping.tick();
      return tries;
    };
    expect([await lookAfter(0), await lookAfter(1000), await lookAfter(58_999), await lookAfter(1), await lookAfter(59_999), await lookAfter(1)]).toEqual([1, 1, 1, 2, 2, 3]);
    expect(new Set(house.told)).toEqual(new Set(['log_keys_not_kept {"code":"AuditUnavailable"}']));
  });


  test('before its entry changes nothing; the keys made are announced with the next', async () => {
    const house = await newHouse();
    house.begin();
    house.log.refuses = unavailable;
    const call = adminCall();
    await expect(house.keeping.rotate(call, command)).rejects.toBe(unavailable);
    expect(call.isLogged).toBe(false);
    house.log.refuses = undefined;
    const waiting = house.signer.prepared()?.keys;
    await house.restart();
    expect(house.signer.keys()).toHaveLength(2);
    expect((await house.keeping.rotate(adminCall(), command)).keys).toEqual(waiting);
  });

  test('by a full disk is finished as soon as there is room, before anything else changes', async () => {
    const house = await newHouse();
    house.begin();
    const { prepare } = house.signer;
    house.signer.prepare = async (...args) => {
      const said = await prepare(...args);
      house.disk.fails = true;
      return said;
    };
    const call = adminCall();
    await expect(house.keeping.rotate(call, command)).rejects.toMatchObject({ code: 'AuditUnavailable' });
    expect(call.isLogged).toBe(true);
    await house.keeping.tick();
    expect(house.told).toEqual(['log_keys_not_kept {"code":"AuditUnavailable"}']);
    house.disk.fails = false;
    await house.keeping.tick();
    expect(house.signer.keys().map(({ fromIndex }) => fromIndex)).toEqual([0, 0, 1, 1]);
    expect(house.entries).toHaveLength(2);
  });
});
