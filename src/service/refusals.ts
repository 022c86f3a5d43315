import type { AuditEvent, Op } from '../core/log/entry.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Call, Caller, NamedCall } from './call.ts';
import { blake3Hex } from '../core/digest.ts';
import { KmsError } from '../core/errors.ts';
import { formatRfc3339 } from '../core/time.ts';
import { eventOf } from './call.ts';

/**
 * Refusals in the log (DESIGN §8): of each reason, tenant, verified client and second the first is an entry, and the
 * rest one entry that counts them. What a flood writes is bounded by what differs in it, and the part of it that is
 * not authenticated differs in the reason alone.
 */
export interface Refusals {
  /**
   * Resolves when the refusal may leave; nothing to wait for when it is counted. Never throws: a refusal
   * changes nothing, so one that cannot be written still leaves.
   */
  record(refusal: KmsError, call: RefusedCall, hashInput: () => string): Promise<void> | undefined;
  /** Writes the counts of a second that is over; to be called about once a second. */
  sweep(): Promise<void>;
  /** Writes the counts there are, for the end of the service. */
  flush(): Promise<void>;
}

/** Who was refused what; without a caller, nothing that the request says of itself is in here. */
export type RefusedCall = NamedCall & Pick<Call, 'caller'>;

/** A request that was refused before it was an operation, and before anyone had vouched for who sent it. */
export type Stranger = Pick<Caller, 'actor' | 'corrId' | 'requestId'>;

/** The call that a request would have become. */
export function refusedCallOf(sender: Caller | Stranger, op: Op | undefined): RefusedCall {
  const caller = 'identity' in sender ? sender : undefined;
  return { ...(caller && { caller }), actor: sender.actor, corrId: sender.corrId, op: op ?? 'refusals', opId: sender.requestId, admitted: undefined, subject: undefined, policy: undefined };
}

export interface RefusalsDeps {
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
}

/** What refusals that count together have in common. */
interface Bucket {
  readonly code: string;
  readonly reason: string | undefined;
  readonly tenant: string | undefined;
  readonly client: { readonly client_id: string; readonly root_key_id: string } | undefined;
  readonly sinceMs: number;
  /** Those after the first. */
  count: number;
}

const SECOND_NS = 1_000_000_000n;
/** More kinds of refusal in one second than this are told apart by their code alone. */
const BUCKETS_MAX = 1024;
/** So that the counts of a bad second do not fill the queue of the log by themselves. */
const SUMMARIES_AT_ONCE = 128;
/** `input_hash` where nothing was taken in: that of no bytes. */
const NO_INPUT_HASH = blake3Hex('');

export function noInput(): string {
  return NO_INPUT_HASH;
}

export function createRefusals({ audit, clock, random, telemetry }: RefusalsDeps): Refusals {
  let buckets = new Map<string, Bucket>();
  let endsNs = 0n;
  let writing: Promise<void> = Promise.resolve();

  /** True when they stand in the log. */
  const write = async (events: readonly AuditEvent[]): Promise<void> => {
    try {
      await audit.append(events);
    } catch (fault) {
      telemetry.event('warn', 'refusals_not_logged', { entries: events.length, code: KmsError.from(fault).code });
    }
  };

  const summarise = (): Promise<void> => {
    const counted = [...buckets.values()].filter(({ count }) => count > 0);
    buckets = new Map();
    if (counted.length === 0) return writing;
    const id = random.uuidv7();
    const until = formatRfc3339(clock.wallMs());
    writing = writing.then(async () => {
      for (let i = 0; i < counted.length; i += SUMMARIES_AT_ONCE) {
        await write(counted.slice(i, i + SUMMARIES_AT_ONCE).map((bucket) => summaryOf(bucket, id, until)));
      }
    });
    return writing;
  };

  /** The bucket of a refusal; undefined when this refusal is the one that opened it. */
  const bucketOf = ({ code, hint }: KmsError, call: RefusedCall): Bucket | undefined => {
    const tenant = tenantOf(call);
    const { client_id: clientId, root_key_id: rootKeyId } = call.caller?.actor ?? {};
    const name = JSON.stringify([code, hint, tenant, clientId, rootKeyId]);
    const known = buckets.get(name) ?? (buckets.size < BUCKETS_MAX ? undefined : once(buckets, code, () => ({ code, reason: 'others', tenant: undefined, client: undefined, sinceMs: clock.wallMs(), count: 0 })));
    if (known !== undefined) return known;
    const client = clientId === undefined || rootKeyId === undefined ? undefined : { client_id: clientId, root_key_id: rootKeyId };
    buckets.set(name, { code, reason: hint, tenant, client, sinceMs: clock.wallMs(), count: 0 });
    return undefined;
  };

  return {
    record(refusal, call, hashInput) {
      const nowNs = clock.monotonicNs();
      if (nowNs >= endsNs) {
        void summarise();
        endsNs = nowNs + SECOND_NS;
      }
      const bucket = bucketOf(refusal, call);
      if (bucket !== undefined) {
        bucket.count++;
        return undefined;
      }
      return write([firstOf(refusal, call, hashInput(), formatRfc3339(clock.wallMs()))]);
    },
    sweep: () => (clock.monotonicNs() >= endsNs ? summarise() : writing),
    flush: summarise,
  };
}

/** The tenant that authorisation admitted, else the only one that the token is for. */
function tenantOf({ caller, admitted, subject }: RefusedCall): string | undefined {
  const [only, ...others] = caller?.caveats.tenants ?? [];
  return subject?.key.tenant ?? admitted?.tenant ?? (others.every((tenant) => tenant === only) ? only : undefined);
}

function firstOf({ code, hint }: KmsError, call: RefusedCall, inputHash: string, now: string): AuditEvent {
  const event = { ...eventOf(call, { inputHash, result: code, reason: hint }), tenant: tenantOf(call) };
  return call.op === 'refusals' ? { ...event, detail: { refusals: { code, count: 1, since: now, until: now } } } : event;
}

function summaryOf({ code, reason, tenant, client, sinceMs, count }: Bucket, id: string, until: string): AuditEvent {
  return {
    op: 'refusals', op_id: id, corr_id: id, tenant,
    kid: undefined, alg: undefined, purpose: undefined,
    input_hash: NO_INPUT_HASH, result: code, reason,
    actor: { ...client, via: 'service' },
    policy: undefined, generation: undefined,
    detail: { refusals: { code, count, since: formatRfc3339(sinceMs), until } },
  };
}

function once<T>(map: Map<string, T>, name: string, make: () => T): T {
  let value = map.get(name);
  if (value === undefined) map.set(name, (value = make()));
  return value;
}
