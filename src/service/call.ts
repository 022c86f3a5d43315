import type { KeySpec } from '../core/algorithm/table.ts';
import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Actor, AuditEvent, Op } from '../core/log/entry.ts';
import type { Caveats } from '../core/macaroon/caveats.ts';
import type { TokenIdentity } from '../core/macaroon/identifier.ts';
import type { CaveatNames } from '../ports/capabilities.ts';
import type { PolicyAnswer } from '../ports/policy.ts';

/** Who asks: a token whose chain and standing caveats held, and the connection it came by. */
export interface Caller {
  readonly identity: TokenIdentity;
  /** The same as the audit log names it. */
  readonly actor: Actor;
  readonly caveats: Caveats;
  readonly caveatTexts: readonly string[];
  readonly caveatNames: CaveatNames;
  readonly peer: string | undefined;
  readonly via: 'tcp';
  readonly corrId: string;
  readonly requestId: string;
}

/** What an operation is about, once it is known and authorised. */
export interface Subject {
  readonly key: KeyRecord;
  readonly version: VersionRecord;
  readonly spec: KeySpec;
}

/** One operation under way, a client's or the service's own. `subject` is set by `authorise` and read by the audit entry and the telemetry. */
export interface Call {
  readonly caller?: Caller;
  readonly actor: Actor;
  readonly corrId: string;
  readonly op: Op;
  readonly opId: string;
  readonly startedNs: bigint;
  subject: Subject | undefined;
}

/** A call that somebody makes; the service's own calls have no caller. */
export interface ClientCall extends Call {
  readonly caller: Caller;
}

export interface Outcome {
  readonly inputHash: string;
  readonly result: string;
  readonly reason?: string;
  readonly policy?: PolicyAnswer;
  readonly generation?: number;
}

/** The audit entry of a call as it stands. */
export function eventOf({ op, opId, corrId, actor, subject }: Call, { inputHash, result, reason, policy, generation }: Outcome): AuditEvent {
  return {
    op,
    op_id: opId,
    corr_id: corrId,
    tenant: subject?.key.tenant,
    kid: subject?.version.kid,
    alg: subject?.key.alg,
    purpose: subject?.key.purpose,
    input_hash: inputHash,
    result,
    reason,
    actor,
    policy: policy && { mode: policy.mode, decision_id: policy.decisionId },
    generation,
  };
}
