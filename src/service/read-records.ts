import type { Kid } from '../core/key/kid.ts';
import type { Caveats } from '../core/macaroon/caveats.ts';
import type { AuditReader } from '../ports/audit-reader.ts';
import type { Authorise } from './authorise.ts';
import type { Caller } from './call.ts';
import type { LoggedEntry } from './entry-access.ts';
import type { InFlight } from './in-flight.ts';
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { kidText } from '../core/key/kid.ts';
import { admitsEntry, parseEntry } from './entry-access.ts';

export interface RecordsRequest {
  /** The first index looked at; the oldest entry kept, when left out. */
  readonly from: number | undefined;
  /** 1 to 1,000. */
  readonly limit: number;
  /** Without a version: all of them. */
  readonly kid: Kid | undefined;
  readonly tenant: string | undefined;
  readonly op: string | undefined;
  readonly result: string | undefined;
}

interface LogRecord {
  readonly index: number;
  readonly entry: LoggedEntry;
}

export interface RecordsAnswer {
  readonly records: readonly LogRecord[];
  /** Where to go on; undefined at the end of the log. */
  readonly next: number | undefined;
  /** The size of the log as it was read. */
  readonly treeSize: number;
}

export interface ReadRecordsDeps {
  readonly authorise: Authorise;
  readonly reader: AuditReader;
  readonly reading: InFlight;
}

/** What one request looks at before it says where to go on, whatever it has found. */
const SCAN_ENTRIES_MAX = 8192;
const SCAN_BYTES_MAX = 8 << 20;
const READ_AT_ONCE = 256;

/** GET /audit/records: entries inside all of the token's caveats, oldest first. */
export function makeReadRecords({ authorise, reader, reading }: ReadRecordsDeps) {
  const scan = async (caveats: Caveats, request: RecordsRequest): Promise<RecordsAnswer> => {
    const marks = marksOf(caveats, request);
    const treeSize = reader.size();
    const first = Math.max(request.from ?? 0, reader.minimumIndex());
    const end = Math.min(treeSize, first + SCAN_ENTRIES_MAX);
    const records: LogRecord[] = [];
    let index = first;
    for (let scannedBytes = 0; index < end && scannedBytes < SCAN_BYTES_MAX && records.length < request.limit;) {
      const entries = await reader.entries(index, Math.min(READ_AT_ONCE, end - index));
      if (entries.length === 0) break;
      for (const bytes of entries) {
        scannedBytes += bytes.length;
        const entry = marks.every((mark) => bytes.includes(mark)) ? parseEntry(bytes) : undefined;
        if (entry !== undefined && isAsked(request, entry) && admitsEntry(caveats, entry)) records.push({ index, entry });
        index++;
        if (records.length === request.limit) break;
      }
      // A scan in memory would hold the loop for as long as it takes.
      await turnOfTheLoop();
    }
    return { records, next: index < treeSize ? index : undefined, treeSize };
  };

  return async (caller: Caller, request: RecordsRequest): Promise<RecordsAnswer> => {
    authorise.any(caller, 'kms:audit');
    return reading.run(() => scan(caller.caveats, request));
  };
}

function isAsked({ kid, tenant, op, result }: RecordsRequest, entry: LoggedEntry): boolean {
  return [[tenant, entry.tenant], [op, entry.op], [result, entry.result]].every(([asked, value]) => asked === undefined || asked === value)
    && (kid === undefined || (kid.version === undefined ? entry.kid?.startsWith(`${kid.base}#`) === true : entry.kid === kidText(kid.base, kid.version)));
}

/**
 * What stands in every entry that can be meant, byte for byte, as entries are canonical JSON and these words
 * need no escape: most of the others are passed over without being parsed.
 */
function marksOf({ tenants, kids }: Caveats, { kid, tenant, op, result }: RecordsRequest): readonly Buffer[] {
  const named = [...tenants, tenant].filter((name) => name !== undefined).map((name) => `"tenant":"${name}"`);
  const keys = [...kids, kid].filter((name) => name !== undefined).map(({ base }) => `"kid":"${base}#v`);
  const words = Object.entries({ op, result }).filter(([, word]) => word !== undefined).map(([field, word]) => `"${field}":"${word}"`);
  return [...named, ...keys, ...words].map((mark) => Buffer.from(mark));
}
