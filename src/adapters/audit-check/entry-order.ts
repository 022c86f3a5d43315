import type { EntryFacts } from './entry-layout.ts';
import type { LogFault } from './faults.ts';
import type { PackedKeyRuns } from './key-runs.ts';
import { createKeyRuns } from './key-runs.ts';

/** Where an entry stands in time. */
interface Stamp {
  readonly index: number;
  readonly ts: string;
  readonly bootId: string;
  readonly monoNs: string;
}

interface Generation {
  readonly index: number;
  readonly value: number;
}

/** What is known of consecutive entries once they were read, so that those behind them can be held against it. */
export interface OrderSummary {
  readonly first: Stamp | undefined;
  readonly last: Stamp | undefined;
  /** Each boot with its first entry. */
  readonly boots: ReadonlyMap<string, number>;
  readonly firstGeneration: Generation | undefined;
  readonly lastGeneration: Generation | undefined;
  /** Intents without an outcome, by operation. */
  readonly open: ReadonlyMap<string, readonly number[]>;
  /** Outcomes without an intent: it may stand in front of these entries. */
  readonly outcomes: ReadonlyMap<string, number>;
  readonly lastStart: number;
  readonly lastOfClients: number;
  readonly keys: PackedKeyRuns;
}

/** What one entry says of its place among the others: clocks, `key_seq`, generation, intents. */
export interface EntryOrder {
  see(index: number, facts: EntryFacts): void;
  /** Entries are missing here, or are not to be believed. */
  skip(): void;
  summary(): OrderSummary;
  /** Goes on behind these with what was read there. */
  absorb(later: OrderSummary): void;
  /** The intents that have no outcome yet; reports those that should have one. */
  finish(): { readonly openIntents: number; readonly generation: number | undefined };
}

/** Operations that announce themselves (DESIGN §8): of any other, an outcome settles nothing. */
const ANNOUNCED: ReadonlySet<string> = new Set(['create', 'patch', 'rotate', 'disable', 'enable', 'destroy', 'restore', 'reload', 'accept-clock', 'log-keys']);
/** How a process says of an outcome that it found it open: a client's entry, and no client was served yet. */
const SETTLED = 'settled at start';
const NEVER = -1;

export function createEntryOrder(report: (fault: LogFault) => void, begins: { readonly isFromStart: boolean }): EntryOrder {
  const keys = createKeyRuns(begins);
  const boots = new Map<string, number>();
  const open = new Map<string, number[]>();
  const outcomes = new Map<string, number>();
  let first: Stamp | undefined;
  let last: Stamp | undefined;
  let firstGeneration: Generation | undefined;
  let lastGeneration: Generation | undefined;
  let lastStart = NEVER;
  let lastOfClients = NEVER;

  const requireLater = (next: Stamp): void => {
    if (last === undefined) return;
    const { index } = next;
    if (next.ts < last.ts) report({ kind: 'clock', index, what: `its time ${next.ts} is before ${last.ts} of entry ${last.index}` });
    if (next.bootId === last.bootId) {
      if (isLess(next.monoNs, last.monoNs)) report({ kind: 'clock', index, what: `its mono_ns ${next.monoNs} is before ${last.monoNs} of entry ${last.index}` });
    } else if (boots.has(next.bootId)) {
      report({ kind: 'clock', index, what: `its boot_id is that of entry ${boots.get(next.bootId)}, and another process wrote in between` });
    }
  };

  const requireNotBack = (next: Generation): void => {
    if (lastGeneration !== undefined && next.value < lastGeneration.value) report({ kind: 'generation', index: next.index, what: `the key store is at generation ${next.value}, and was at ${lastGeneration.value} in entry ${lastGeneration.index}` });
  };

  const settle = (name: string, count: number): void => {
    const indices = open.get(name);
    const left = count - (indices?.splice(0, count).length ?? 0);
    if (indices?.length === 0) open.delete(name);
    if (left > 0) outcomes.set(name, (outcomes.get(name) ?? 0) + left);
  };

  const seeIntent = (index: number, { op, opId, result, reason }: EntryFacts): void => {
    const name = Buffer.from(`${op} ${opId}`).toString();
    if (result === 'intent') open.set(name, [...(open.get(name) ?? []), index]);
    else if (reason !== 'replay') settle(name, 1);
  };

  return {
    see(index, facts) {
      const stamp = { index, ts: facts.ts, bootId: facts.bootId, monoNs: facts.monoNs };
      requireLater(stamp);
      if (last?.bootId !== facts.bootId && !boots.has(facts.bootId)) boots.set(Buffer.from(facts.bootId).toString(), index);
      first ??= stamp;
      last = stamp;
      if (facts.generation !== undefined) {
        const generation = { index, value: facts.generation };
        requireNotBack(generation);
        firstGeneration ??= generation;
        lastGeneration = generation;
      }
      if (facts.kid !== undefined) {
        const wrong = facts.keySeq === undefined ? 'has a kid and no key_seq' : keys.see(index, facts.kid, facts.keySeq);
        if (wrong !== undefined) report({ kind: 'key-seq', index, what: wrong });
      }
      if (facts.op === 'checkpoint-start') lastStart = index;
      if (facts.via !== 'service' && !facts.reason?.startsWith(SETTLED)) lastOfClients = index;
      if (ANNOUNCED.has(facts.op)) seeIntent(index, facts);
    },
    skip: keys.skip,
    summary: () => ({ first, last, boots, firstGeneration, lastGeneration, open, outcomes, lastStart, lastOfClients, keys: keys.pack() }),
    absorb(later) {
      if (later.first !== undefined) requireLater(later.first);
      for (const [bootId, index] of later.boots) {
        if (boots.has(bootId) && bootId !== later.first?.bootId) report({ kind: 'clock', index, what: `its boot_id is that of entry ${boots.get(bootId)}, and another process wrote in between` });
        if (!boots.has(bootId)) boots.set(bootId, index);
      }
      if (later.firstGeneration !== undefined) requireNotBack(later.firstGeneration);
      for (const [name, count] of later.outcomes) settle(name, count);
      for (const [name, indices] of later.open) open.set(name, [...(open.get(name) ?? []), ...indices]);
      keys.absorb(later.keys, (index, what) => report({ kind: 'key-seq', index, what }));
      first ??= later.first;
      last = later.last ?? last;
      firstGeneration ??= later.firstGeneration;
      lastGeneration = later.lastGeneration ?? lastGeneration;
      lastStart = Math.max(lastStart, later.lastStart);
      lastOfClients = Math.max(lastOfClients, later.lastOfClients);
    },
    finish() {
      // A process settles what the one before it left open, before it serves anybody.
      const dueBelow = lastStart < lastOfClients ? lastStart : NEVER;
      for (const [name, indices] of open) {
        for (const index of indices) if (index < dueBelow) report({ kind: 'intent', index, what: `the intent to ${name.split(' ')[0]} was never settled` });
      }
      return { openIntents: [...open.values()].flat().length, generation: lastGeneration?.value };
    },
  };
}

/** Whether a decimal is below another, of whatever length. */
function isLess(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}
