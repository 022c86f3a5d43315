import type { KeySpec } from '../core/algorithm/table.ts';
import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Actor, AuditEvent, Op } from '../core/log/entry.ts';
import type { Caveats, KeyName } from '../core/macaroon/caveats.ts';
import type { TokenIdentity } from '../core/macaroon/identifier.ts';
import type { CaveatNames } from '../ports/capabilities.ts';
import type { Clock } from '../ports/clock.ts';
import type { PolicyAnswer } from '../ports/policy.ts';
import type { Random } from '../ports/random.ts';

/** Who asks: a token whose chain and standing caveats held, and the connection it came by. */
export interface Caller {
  readonly identity: TokenIdentity;
  /** The same as the audit log names it. */
  readonly actor: Actor;
  readonly caveats: Caveats;
  readonly caveatTexts: readonly string[];
  readonly caveatNames: CaveatNames;
  readonly peer: string | undefined;
  readonly via: string;
  readonly corrId: string;
  readonly requestId: string;
  /** The trace that it is in, as its request says it (W3C Trace Context); undefined when it does not. */
  readonly traceParent: string | undefined;
}

/** What an operation is about, once it is known and authorised. */
export interface Subject {
  readonly key: KeyRecord;
  readonly version: VersionRecord;
  readonly spec: KeySpec;
}

/** One operation under way, a client's or the service's own. What `authorise` sets is read by the audit entry and the telemetry. */
export interface Call {
  readonly caller?: Caller;
  readonly actor: Actor;
  readonly corrId: string;
  readonly op: Op;
  readonly opId: string;
  readonly startedNs: bigint;
  /** What the caller may ask for, whether it is there or not. */
  admitted: KeyName | undefined;
  subject: Subject | undefined;
  /** What was decided on it, once it is. */
  policy: Pick<PolicyAnswer, 'mode' | 'decisionId'> | undefined;
  /** Run when the call is over, however it ends: what it had of what there is a limited number of. */
  readonly releases: (() => void)[];
  /** Set once the log knows of this call: whatever ends it is then the outcome of that entry, not a refusal of its own. */
  isLogged: boolean;
}

/** A call that somebody makes; the service's own calls have no caller. */
export interface ClientCall extends Call {
  readonly caller: Caller;
}

/** What an entry says of a call, whatever became of it. */
export type NamedCall = Pick<Call, 'op' | 'opId' | 'corrId' | 'actor' | 'admitted' | 'subject' | 'policy'>;

export interface Outcome {
  readonly inputHash: string;
  readonly result: string;
  readonly reason?: string | undefined;
  readonly generation?: number;
}

/** A call at its beginning, when nothing is known of it but who wants what. */
export function beginCall<T>(wanted: T): T & Pick<Call, 'admitted' | 'subject' | 'policy' | 'releases' | 'isLogged'> {
  return { ...wanted, admitted: undefined, subject: undefined, policy: undefined, releases: [], isLogged: false };
}

/** A call of the service's own. */
export function ownCall(op: Op, { clock, random }: { readonly clock: Clock; readonly random: Random }, subject?: Subject): Call {
  const id = random.uuidv7();
  return { ...beginCall({ actor: { via: 'service' }, corrId: id, op, opId: id, startedNs: clock.monotonicNs() }), subject };
}

/** The audit entry of a call as it stands. */
export function eventOf({ op, opId, corrId, actor, admitted, subject, policy }: NamedCall, { inputHash, result, reason, generation }: Outcome): AuditEvent {
  const name = subject?.key ?? admitted;
  return {
    op,
    op_id: opId,
    corr_id: corrId,
    tenant: name?.tenant,
    kid: subject?.version.kid,
    alg: name?.alg,
    purpose: name?.purpose,
    input_hash: inputHash,
    result,
    reason,
    actor,
    policy: policy && { mode: policy.mode, decision_id: policy.decisionId },
    generation,
  };
}
