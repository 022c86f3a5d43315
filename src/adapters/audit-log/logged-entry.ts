import type { Noted } from './ledger.ts';
import { parseRfc3339 } from '../../core/time.ts';

/** An entry as it is read back at the start: what the ledger looks at, and its stamps. */
export interface LoggedEntry extends Noted {
  readonly ms: number;
  readonly keySeq: number | undefined;
}

interface EntryFields extends Omit<Noted, 'detail'>, NonNullable<Noted['detail']> {
  readonly ts: string;
  readonly key_seq?: number;
}

const STRINGS = ['op', 'op_id', 'corr_id', 'input_hash', 'result', 'ts'] as const;

/** Undefined when it is no entry. The whole form is the full check's; here only what is used is looked at. */
export function readLoggedEntry(bytes: Buffer): LoggedEntry | undefined {
  const entry = parsed(bytes);
  if (entry === undefined || !STRINGS.every((name) => typeof entry[name] === 'string') || typeof entry.actor !== 'object') return undefined;
  const { ts, key_seq: keySeq, log_keys, checkpoint, anchor, refusals, replaces, ...rest } = entry;
  const ms = parseRfc3339(ts);
  if (ms === undefined) return undefined;
  const detail = { ...(log_keys && { log_keys }), ...(checkpoint && { checkpoint }), ...(anchor && { anchor }), ...(refusals && { refusals }), ...(replaces && { replaces }) };
  return { ...rest, ms, keySeq, detail };
}

function parsed(bytes: Buffer): EntryFields | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as EntryFields) : undefined;
  } catch {
    return undefined;
  }
}
