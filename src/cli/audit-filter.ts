import type { AuditEntry, RecordsQuery } from '../../client/src/wire.ts';
import type { Parsed } from './command.ts';
import { parseKid } from '../core/key/kid.ts';
import { formatRfc3339, parseDuration, parseRfc3339 } from '../core/time.ts';
import { UsageError } from './command.ts';
import { flag, given, kidOf } from './flags.ts';

/** Which records are asked for. */
export interface RecordFilter {
  /** What the service can look for by itself. */
  readonly query: Pick<RecordsQuery, 'kid' | 'tenant' | 'op' | 'result'>;
  readonly client?: string;
  readonly opId?: string;
  readonly corrId?: string;
  /** RFC 3339 UTC with milliseconds, as entries have it: order of text is order of time. */
  readonly since?: string;
  readonly until?: string;
}

export const filterOptions = {
  kid: { type: 'string' }, tenant: { type: 'string' }, op: { type: 'string' }, result: { type: 'string' }, client: { type: 'string' },
  'op-id': { type: 'string' }, 'corr-id': { type: 'string' }, since: { type: 'string' }, until: { type: 'string' },
} as const;

export const filterAbout = {
  kid: 'of this key; without #vN of all its versions', tenant: 'of this tenant', op: 'of this operation: sign, verify, create, …', result: 'ok, invalid, intent, or the code of an error',
  client: 'by this client', 'op-id': 'of this op_id', 'corr-id': 'of the request with this correlation id',
  since: 'not before: 2026-11-23, 2026-11-23T10:00:00Z, or 90m for so long ago', until: 'before this time, written the same way',
} as const;

export function filterFrom(parsed: Parsed): RecordFilter {
  const kid = flag(parsed, 'kid');
  const word = (name: string): string | undefined => {
    const text = flag(parsed, name);
    if (text !== undefined && !/^[A-Za-z0-9._-]{1,64}$/.test(text)) throw new UsageError(`--${name} is one word, as entries have it`);
    return text;
  };
  return {
    query: given({ kid: kid === undefined ? undefined : kidOf(kid, '--kid'), tenant: word('tenant'), op: word('op'), result: word('result') }),
    ...given({ client: flag(parsed, 'client'), opId: flag(parsed, 'op-id'), corrId: flag(parsed, 'corr-id'), since: timeFlag(parsed, 'since'), until: timeFlag(parsed, 'until') }),
  };
}

/** A time as entries have it; a day is taken from its beginning in UTC. */
export function timeFlag(parsed: Parsed, name: string): string | undefined {
  const text = flag(parsed, name);
  if (text === undefined) return undefined;
  const ago = parseDuration(text);
  const ms = ago === undefined ? parseRfc3339(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text) : Date.now() - ago;
  if (ms === undefined) throw new UsageError(`--${name} is a day such as 2026-11-23, a time such as 2026-11-23T10:00:00Z, or a duration such as 90m for so long ago`);
  return formatRfc3339(ms);
}

/** Whether an entry is one of them. The service has looked at its part already; files have not. */
export function isAsked(entry: AuditEntry, { query: { kid, ...plain }, client, opId, corrId, since, until }: RecordFilter): boolean {
  const pairs = [[plain.tenant, entry.tenant], [plain.op, entry.op], [plain.result, entry.result], [client, entry.actor.client_id], [opId, entry.op_id], [corrId, entry.corr_id]] as const;
  return pairs.every(([asked, value]) => asked === undefined || asked === value)
    && (kid === undefined || isOfKey(entry.kid, kid))
    && (since === undefined || entry.ts >= since) && (until === undefined || entry.ts < until);
}

function isOfKey(kid: string | undefined, asked: string): boolean {
  return parseKid(asked)?.version === undefined ? kid?.startsWith(`${asked}#`) === true : kid === asked;
}
