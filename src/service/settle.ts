import type { AuditEvent } from '../core/log/entry.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { KeyStore } from '../ports/key-store.ts';

/** An intent that a crash left without its outcome: what of it the outcome repeats. */
export interface OpenIntent {
  readonly event: Omit<AuditEvent, 'result' | 'reason' | 'policy' | 'generation' | 'attestation' | 'detail'>;
}

/**
 * Holds the generation of a store that outlives the process against the last one in the log. A mutation is in the store
 * before its outcome is in the log, so the store may be ahead by the intents that are open: by how many, or undefined
 * when the two are at odds.
 */
export function checkGeneration(logged: number, stored: number, openIntents: number): number | undefined {
  const ahead = stored - logged;
  return ahead >= 0 && ahead <= openIntents ? ahead : undefined;
}

const NONE_DONE = { result: 'Internal', reason: 'settled at start' } as const;
const ALL_DONE = { result: 'ok', reason: 'settled at start' } as const;
/** Some of several were carried out, and the generation does not tell which. Nobody was told that one was. */
const SOME_DONE = { result: 'Internal', reason: 'settled at start; it may have been done' } as const;

/**
 * Writes the outcome of each open intent; `done` of them are in the store, by `checkGeneration`. Each entry
 * carries the generation, so that log and store agree from here on.
 */
export async function settleIntents({ audit, store }: { readonly audit: AuditLog; readonly store: Pick<KeyStore, 'generation'> }, openIntents: readonly OpenIntent[], done: number): Promise<void> {
  if (openIntents.length === 0) return;
  const outcome = done === 0 ? NONE_DONE : done === openIntents.length ? ALL_DONE : SOME_DONE;
  const generation = store.generation();
  await audit.append(openIntents.map(({ event }) => ({ ...event, ...outcome, policy: undefined, generation })), { mustFlush: true });
}
