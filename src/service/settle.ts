import type { AuditEvent, Op } from '../core/log/entry.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { StoredChange } from '../ports/key-store.ts';

/** An intent that a crash left without its outcome: what of it the outcome repeats. */
export interface OpenIntent {
  /** Where it stands in the log. */
  readonly index: number;
  readonly event: Omit<AuditEvent, 'result' | 'reason' | 'policy' | 'generation' | 'attestation' | 'detail'>;
}

/** How an open intent ended: the generation that it made, or none. */
export interface Settlement {
  readonly intent: OpenIntent;
  readonly generation: number | undefined;
  /** The newest version that it made or changed. */
  readonly kid: string | undefined;
}

/** What the store has that the log does not tell of yet. */
export interface Ahead {
  /** The generation of the last outcome in the log. */
  readonly logged: number;
  /** That of the store. */
  readonly stored: number;
  /** The mutation of each generation above `logged`. */
  readonly changes: ReadonlyMap<number, StoredChange>;
}

/**
 * Holds a store that outlives the process against the log. A mutation is in the store before its outcome is in the log,
 * so the store may be ahead, by mutations whose intents are open and by no others. Gives how each open intent ended:
 * those that were done first, in the order of their generations. Undefined when the two are at odds.
 */
export function settlementsOf(openIntents: readonly OpenIntent[], { logged, stored, changes }: Ahead): readonly Settlement[] | undefined {
  if (stored < logged) return undefined;
  const left = new Map(openIntents.map((intent) => [intent.index, intent]));
  const done: Settlement[] = [];
  for (let generation = logged + 1; generation <= stored; generation++) {
    const change = changes.get(generation);
    const intent = change?.intent === undefined ? undefined : left.get(change.intent);
    if (intent === undefined) return undefined;
    left.delete(intent.index);
    done.push({ intent, generation, kid: change?.kid });
  }
  return [...done, ...Array.from(left.values(), (intent) => ({ intent, generation: undefined, kid: undefined }))];
}

const REASON = 'settled at start';

/** Their outcome names the version that they made; the intent could not yet. */
const MAKING: ReadonlySet<string> = new Set(['create', 'rotate'] satisfies Op[]);

/** Writes the outcome of each open intent. */
export async function settleIntents(audit: Pick<AuditLog, 'append'>, settlements: readonly Settlement[]): Promise<void> {
  if (settlements.length === 0) return;
  await audit.append(settlements.map(({ intent: { event }, generation, kid }) => (
    { ...event, kid: kid !== undefined && MAKING.has(event.op) ? kid : event.kid, result: generation === undefined ? 'Internal' : 'ok', reason: REASON, policy: undefined, generation }
  )), { mustFlush: true });
}
