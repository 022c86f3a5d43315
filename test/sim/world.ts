import type { Crash } from '../harness/faulty-files.ts';
import type { Reply, Send } from './clients.ts';
import type { Platter } from './disk.ts';
import type { Plant } from './plants.ts';
import type { RunningLife } from './life.ts';
import type { VirtualTime } from './virtual-time.ts';
import { blake3 } from '@napi-rs/blake-hash';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { parseKeyset } from '../../src/adapters/auth-keyset/keyset.ts';
import { createLockedMemory } from '../../src/adapters/system/locked-memory.ts';
import { KmsError } from '../../src/core/errors.ts';
import { CRASHES } from '../harness/faulty-files.ts';
import { entriesFrom } from '../harness/entries.ts';
import { keysetText } from '../harness/service.ts';
import { checkImage } from '../harness/simulated-log.ts';
import { createSimulatedAnchor } from './anchor.ts';
import { Broken, count, createBook } from './book.ts';
import { createChance, randomFrom } from './chance.ts';
import { createClients, isSigning, ROOT_KEY_ID, ROOT_SECRET } from './clients.ts';
import { calm, configOf, createConditions } from './conditions.ts';
import { createSimulatedCustody, createSimulatedPublicKeys } from './custody.ts';
import { requireEntries, requireEntry } from './entries.ts';
import { createSimulatedLogKeys } from './log-keys.ts';
import { createMachine } from './machine.ts';
import { EMPTY_STORE } from './store.ts';
import { createTroubles } from './troubles.ts';

export interface WorldOptions {
  readonly seed: string;
  readonly hours: number;
  readonly time: VirtualTime;
  readonly plant?: Plant | undefined;
  /** Each line of what happens. */
  readonly onLine?: (line: string) => void;
}

export interface WorldReport {
  /** Over all that happened: the same seed gives the same one. */
  readonly digest: string;
  readonly lines: number;
  readonly entries: number;
  readonly counts: Readonly<Record<string, number>>;
}

const START_MS = Date.UTC(2026, 10, 23);
const HOUR_MS = 3_600_000;
/** Between one burst of calls and the next, on the average. */
const QUIET_MS = 30 * 60_000;
const LATE_MS = 12 * HOUR_MS;
const TOLD_AGAIN = 60;

/** One service, its clients and its troubles, for so many hours of its time. Throws `Broken`. */
export async function runWorld({ seed, hours, time, plant, onLine }: WorldOptions): Promise<WorldReport> {
  const chance = createChance(seed);
  const book = createBook();
  const conditions = createConditions();
  const logKeys = await createSimulatedLogKeys();
  const begunNs = time.nowNs();
  const durability = chance.percent(75) ? 'disk' : 'os';
  /** With `os` what was answered in the last 100 ms may go with the power: such worlds only lose the process. */
  const crashes: readonly Crash[] = durability === 'disk' ? CRASHES : ['killed'];
  const is: { rolledBack: boolean; held: boolean; over: boolean; ended: boolean; broken: unknown } = { rolledBack: false, held: false, over: false, ended: false, broken: undefined };
  let lines = 0;
  let digest = Buffer.alloc(32);

  const nowMs = (): number => (time.nowNs() - begunNs) / 1e6;
  const wallMs = (): number => START_MS + Math.floor(nowMs()) + conditions.steppedMs;
  const trace = (line: string): void => {
    const stamped = `${(nowMs() / 1000).toFixed(3)} ${line}`;
    lines++;
    digest = Buffer.from(blake3(Buffer.concat([digest, Buffer.from(stamped)])));
    onLine?.(stamped);
  };
  const breaks = (fault: unknown): void => {
    is.broken ??= fault instanceof Broken ? fault : new Broken('right-refusal', `an error of ours: ${traceOf(fault)}`);
  };

  const machine = createMachine({
    time, chance, conditions, crashes, plant,
    start: { files: logKeys.disk, store: EMPTY_STORE },
    parts: {
      logKeys, durability, publicKeys: createSimulatedPublicKeys(chance),
      keyset: parseKeyset(Buffer.from(keysetText([{ id: ROOT_KEY_ID, secret: ROOT_SECRET }])), createLockedMemory()),
      anchor: createSimulatedAnchor(conditions, chance, time.sleep),
      custody: createSimulatedCustody({
        chance, sleep: time.sleep, state: () => conditions.backend,
        sealing(kid, nonce) {
          if (book.nonces.has(`${kid} ${nonce}`)) breaks(new Broken('nonce-once', `${kid} sealed twice under ${nonce}`));
          book.nonces.add(`${kid} ${nonce}`);
        },
      }),
      clock: { wallMs, monotonicNs: () => BigInt(time.nowNs() - begunNs) },
      random: randomFrom(chance, wallMs),
      settings: { config: () => configOf(conditions), reload: () => { conditions.reloads++; } },
      tell: (event, fields) => trace(`says ${event} ${JSON.stringify(fields ?? {})}`),
    },
    started(life) {
      trace(`starts with generation ${life.store.generation()}, ${life.log.size()} entries`);
      const fault = life.fault();
      if (is.rolledBack && fault === undefined) throw new Broken('rollback-is-seen', 'an older disk was put back, and it started as if nothing was');
      if (!is.rolledBack && fault !== undefined) throw new Broken('log-is-whole', fault);
    },
    died(how) {
      count(book, 'crash');
      trace(`dies ${how}`);
    },
  });

  const latency = (): Promise<void> => time.sleep(0.1 + 40 * chance.next() ** 4);

  const send: Send = async (token, method, path, input) => {
    await latency();
    const serving = machine.serving();
    if (serving === undefined || chance.percent(0.5)) {
      await time.sleep(1000);
      return 'lost';
    }
    const { life, tag, gone } = serving;
    const sent = plant === 'serves-everybody' && chance.percent(2) ? clients.anyTenantToken : token;
    const asked = time.within(tag, () => life.call(sent, method, path, input)).then((answer): Reply => ({ answer }), (fault: unknown): Reply => {
      if (fault instanceof KmsError && fault.code !== 'Internal') return { refused: fault.code };
      if (!tag.isOver) breaks(fault);
      return 'lost';
    });
    const reply = await Promise.race([asked, gone]);
    if (reply === 'gone' || reply === 'lost' || tag.isOver) return 'lost';
    // From here on the answer is on its way, whatever becomes of the process.
    trace(`${method} ${path} ${'answer' in reply ? 'ok' : reply.refused}`);
    await latency();
    return chance.percent(0.5) ? 'lost' : reply;
  };

  const clients = createClients({ send, book, chance, sleep: time.sleep, trace });
  /** Then what follows is believed only by who is given the new ones. */
  const mayBeCompromised = chance.percent(25);
  const changeLogKeys = (): Promise<void> => clients.changeLogKeys(mayBeCompromised && chance.percent(50));
  const troubles = createTroubles({ conditions, chance, sleep: time.sleep, trace, operator: clients.operator, stop: machine.stop, changeLogKeys });

  /** Started again, it has what was answered last; the rest is looked at in the end. */
  const revive = async (): Promise<void> => {
    await machine.revive();
    const latest = book.told.slice(-TOLD_AGAIN);
    const from = Math.min(...latest.map(({ index }) => index));
    const serving = machine.serving();
    if (serving === undefined || latest.length === 0) return;
    const entries = await entriesFrom(serving.life.log, from);
    if (!serving.tag.isOver) for (const told of latest) requireEntry(entries[told.index - from], told);
  };

  const triesToUse = (life: RunningLife, base: string): Promise<boolean> => {
    const [tenant = '', , alg = ''] = base.split('/');
    const [path, body] = isSigning({ alg }) ? ['/sign', { kid: base, payload_b64: 'AAAA' }] as const : ['/wrap', { kid: base, size: 32 }] as const;
    return life.call(clients.tokenFor(tenant), 'POST', path, { body }).then(() => true, () => false);
  };

  /** Somebody puts an older disk back: it has to be seen, and nothing may be done with it. Then the true one comes back. */
  const rollBack = async (older: Platter): Promise<void> => {
    is.held = true;
    await machine.stop();
    machine.end('for another disk');
    const truth = machine.platter();
    if (truth.store.generation > older.store.generation) {
      const { anchored } = conditions;
      const part = chance.one(['all', 'its store', 'its log']);
      trace(`an older disk is put in, ${part}: generation ${older.store.generation} for ${truth.store.generation}`);
      machine.putIn({ files: part === 'its store' ? truth.files : older.files, store: part === 'its log' ? truth.store : older.store });
      is.rolledBack = true;
      const life = await machine.startOnce();
      const tag = machine.serving()?.tag;
      if (life !== undefined && tag !== undefined) {
        const used = await time.within(tag, () => Promise.all([...book.keys.keys()].slice(0, 4).map((base) => triesToUse(life, base))));
        if (used.includes(true)) throw new Broken('rollback-is-seen', 'an older disk was put back, and it was signed or wrapped with');
        count(book, 'rollback');
      }
      machine.end('for the true disk');
      is.rolledBack = false;
      conditions.anchored = anchored;
    }
    machine.putIn(truth);
    is.held = false;
  };

  const live = async (): Promise<void> => {
    let older: Platter | undefined;
    while (nowMs() < hours * HOUR_MS) {
      await time.sleep(2 * QUIET_MS * chance.next());
      await Promise.all([clients.burst(), ...(chance.percent(75) ? [troubles.one()] : [])]);
      const isQuiet = machine.serving() !== undefined && conditions.disk.diesIn === undefined;
      if (isQuiet && older !== undefined && chance.percent(20)) {
        await rollBack(older);
        older = undefined;
      } else if (isQuiet && chance.percent(20)) older = machine.platter();
    }
  };

  /** The service is started again whenever it is gone, and is never at odds with what belongs to it. */
  const keep = async (): Promise<void> => {
    while (!is.over) {
      const serving = machine.serving();
      if (serving === undefined && !is.held) await revive();
      const fault = is.rolledBack ? undefined : serving?.life.fault();
      if (fault !== undefined) throw new Broken('log-is-whole', fault);
      await time.sleep(250);
    }
  };

  const finish = async (): Promise<number> => {
    calm(conditions);
    if (machine.serving() === undefined) await revive();
    await troubles.acceptClock();
    await time.sleep(120_000);
    await clients.review();
    const serving = machine.serving();
    if (serving === undefined) throw new Broken('comes-back', 'it is down when all is well');
    const entries = await entriesFrom(serving.life.log);
    requireEntries(entries, book);
    const pinned = mayBeCompromised ? serving.life.log.keys().map(({ vkey }) => vkey) : logKeys.vkeys;
    await machine.stop();
    const verdict = await checkImage(machine.platter().files, { vkeys: pinned.flatMap((vkey) => parseVkey(vkey) ?? []) });
    if (verdict?.ok !== true || verdict.faults.length > 0 || verdict.openIntents > 0) throw new Broken('log-is-whole', `the whole check says ${JSON.stringify(verdict)}`);
    return entries.length;
  };

  let entries = 0;
  // The world's own doings are no part of any process in it.
  const whole = (async () => {
    const kept = keep().catch(breaks);
    await live();
    is.over = true;
    await kept;
    entries = await finish();
  })().catch(breaks).finally(() => { is.ended = true; });
  const isGoingOn = (): boolean => !is.ended && is.broken === undefined;
  while (isGoingOn()) {
    await time.pass(QUIET_MS);
    if (nowMs() > hours * HOUR_MS + LATE_MS) breaks(new Broken('comes-back', 'hours behind its end it still waits for something'));
  }
  if (is.broken !== undefined) {
    is.over = true;
    machine.end('with its world');
    throw is.broken;
  }
  await whole;
  return { digest: digest.toString('hex'), lines, entries, counts: book.counts };
}

function traceOf(fault: unknown): string {
  return fault instanceof Error ? [fault.stack, ...(fault.cause === undefined ? [] : [traceOf(fault.cause)])].join(', because of ') : String(fault);
}
