import type { AuditEvent, EntryDetail } from '../../core/log/entry.ts';
import type { KeyCounts } from './key-counts.ts';
import { createKeyCounts } from './key-counts.ts';

/** What the ledger looks at in an entry, whether it is written now or read at the start. */
export type Noted = Pick<AuditEvent, 'op' | 'op_id' | 'corr_id' | 'tenant' | 'kid' | 'alg' | 'purpose' | 'input_hash' | 'actor' | 'result' | 'reason' | 'generation' | 'detail'>;

/** An intent that has no outcome yet, with all that its outcome has to repeat. */
export interface OpenIntent {
  readonly index: number;
  readonly event: Omit<Noted, 'result' | 'reason' | 'generation' | 'detail'>;
}

/** The newest keys as the log announced them. */
export interface AnnouncedKeys {
  readonly index: number;
  readonly detail: NonNullable<EntryDetail['log_keys']>;
}

/** All of the ledger but the keys' counts. */
export interface LedgerHead {
  readonly lastMs: number;
  readonly generation: number;
  readonly anchorValue: number;
  readonly intents: readonly OpenIntent[];
  readonly announced: AnnouncedKeys | undefined;
}

export interface FrozenLedger {
  readonly head: LedgerHead;
  /** Count of entries by key base. It stands still until `thaw`, though the ledger counts on. */
  readonly keySeqs: Pick<KeyCounts, 'entries'>;
  thaw(): void;
}

/** What the log has to know of its entries in order to go on: counts, time, generation, what was left open. */
export interface Ledger {
  lastMs(): number;
  /** Stamps are given before the write and taken back when it fails. */
  setLastMs(ms: number): void;
  countUp(kid: string): number;
  countDown(kid: string): void;
  keySeq(base: string): number;
  /** The entry is in the log. */
  note(index: number, entry: Noted): void;
  head(): LedgerHead;
  freeze(): FrozenLedger;
}

const EMPTY_HEAD: LedgerHead = { lastMs: 0, generation: 0, anchorValue: 0, intents: [], announced: undefined };

export function createLedger(head: LedgerHead = EMPTY_HEAD, keySeqs: KeyCounts = createKeyCounts()): Ledger {
  const intents = new Map(head.intents.map((intent) => [nameOf(intent.event), intent]));
  let { lastMs, generation, anchorValue, announced } = head;
  /** Counts changed while the others are being written away. */
  let changed: Map<string, number> | undefined;

  const keySeq = (base: string): number => changed?.get(base) ?? keySeqs.get(base);
  const count = (kid: string, by: 1 | -1): number => {
    const base = baseOf(kid);
    const next = keySeq(base) + by;
    (changed ?? keySeqs).set(base, next);
    return next;
  };
  const headNow = (): LedgerHead => ({ lastMs, generation, anchorValue, announced, intents: [...intents.values()] });

  return {
    lastMs: () => lastMs,
    setLastMs: (ms) => { lastMs = ms; },
    countUp: (kid) => count(kid, 1),
    countDown: (kid) => { count(kid, -1); },
    keySeq,
    note(index, entry) {
      if (entry.result === 'intent') intents.set(nameOf(entry), { index, event: repeatable(entry) });
      // A replay repeats an answer: what it repeats has an outcome of its own.
      else if (intents.size > 0 && entry.reason !== 'replay') intents.delete(nameOf(entry));
      if (entry.generation !== undefined) generation = Math.max(generation, entry.generation);
      if (entry.detail?.anchor !== undefined) anchorValue = entry.detail.anchor.value;
      if (entry.detail?.log_keys !== undefined) announced = { index, detail: entry.detail.log_keys };
    },
    head: headNow,
    freeze() {
      changed = new Map();
      return {
        head: headNow(),
        keySeqs,
        thaw() {
          for (const [base, seq] of changed ?? []) keySeqs.set(base, seq);
          changed = undefined;
        },
      };
    },
  };
}

/** The key that a kid is a version of. */
export function baseOf(kid: string): string {
  const at = kid.lastIndexOf('#');
  return at === -1 ? kid : kid.slice(0, at);
}

/**
 * An outcome belongs to the intent of the same client, operation, ids and key. The ids are the client's own: another
 * may choose the same ones, and one of them may serve for several keys. What a create makes is named by its outcome only.
 */
function nameOf({ actor, op, op_id: opId, corr_id: corrId, tenant, purpose, alg, kid }: OpenIntent['event']): string {
  const base = op === 'create' || kid === undefined ? undefined : baseOf(kid);
  return JSON.stringify([actor.root_key_id, actor.client_id, op, opId, corrId, tenant, purpose, alg, base]);
}

function repeatable({ op, op_id, corr_id, tenant, kid, alg, purpose, input_hash, actor }: Noted): OpenIntent['event'] {
  return { op, op_id, corr_id, tenant, kid, alg, purpose, input_hash, actor };
}
