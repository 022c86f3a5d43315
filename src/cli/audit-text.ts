import type { LogRecord } from './audit-records.ts';
import { printable } from './printable.ts';

const WIDTHS = { index: 8, op: 12, result: 10 } as const;

/** One line for people: what was done, when, to what, by whom, and how it ended. */
export function recordLine({ index, entry }: LogRecord): string {
  const { ts, op, result, reason, kid, tenant, actor, key_seq: keySeq } = entry;
  const what = kid ?? tenant ?? '-';
  const who = actor.client_id === undefined ? actor.via : `${actor.client_id}${actor.peer === undefined ? '' : ` from ${actor.peer}`}`;
  const more = [...(keySeq === undefined ? [] : [`#${keySeq} of its key`]), ...(reason === undefined ? [] : [reason])];
  return printable(`${String(index).padStart(WIDTHS.index)}  ${ts}  ${op.padEnd(WIDTHS.op)} ${result.padEnd(WIDTHS.result)} ${what}  by ${who}${more.length === 0 ? '' : ` (${more.join(', ')})`}`);
}
