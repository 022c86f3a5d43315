import type { PromiseName } from './book.ts';

/** Faults that are planted on purpose, with the promises that each may break first: the simulation has to find them. */
export const plants = {
  'answers-before-flush': ['answered-is-kept', 'log-is-whole'],
  'commits-unflushed': ['log-is-whole'],
  'forgets-nonces': ['nonce-once'],
  'skips-entries': ['answered-is-kept', 'entry-first'],
  'forgets-prepared-keys': ['log-is-whole'],
  'hides-log-keys': ['log-is-whole', 'answered-is-kept'],
  'serves-everybody': ['tenants-apart'],
  'forgets-op-ids': ['once-per-op-id'],
  'ignores-anchor': ['rollback-is-seen'],
  'reads-stale-keys': ['right-answer', 'versions-go-up', 'once-per-op-id'],
} as const satisfies Readonly<Record<string, readonly PromiseName[]>>;
export type Plant = keyof typeof plants;
