import type { SignatureScheme } from '../core/algorithm/table.ts';
import type { Kid } from '../core/key/kid.ts';
import type { Payload } from '../core/payload.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { PolicyAnswer } from '../ports/policy.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall, Subject } from './call.ts';
import type { GuardedCustody } from './custody-guard.ts';
import type { Decide } from './decide.ts';
import type { Attestation, Evidence } from './evidence.ts';
import type { KeyRules } from './key-rules.ts';
import type { RateLimits } from './rate-limits.ts';
import type { TenantQuotas } from './tenant-quotas.ts';
import type { WorkQueue } from './work-queue.ts';
import { entryAttestation } from '../core/log/entry.ts';
import { KmsError } from '../core/errors.ts';
import { messageOf } from '../core/payload.ts';
import { resolveHybrid } from '../core/policy/decision.ts';
import { eventOf } from './call.ts';

export interface SignRequest {
  readonly kid: Kid;
  readonly payload: Payload;
  /** 0 to 255 bytes; only for schemes that take one. */
  readonly context: Buffer | undefined;
  readonly produceHybrid: boolean | undefined;
  /** Evidence of where the key is held is wanted. */
  readonly isEvidenceAsked: boolean;
}

export interface SignAnswer {
  readonly kid: string;
  readonly digestHex: string;
  readonly signatures: readonly { readonly scheme: SignatureScheme; readonly bytes: Buffer }[];
  readonly attestation?: Attestation;
  readonly audit: { readonly index: number; readonly opId: string };
}

export interface SignDeps {
  readonly authorise: Authorise;
  readonly decide: Decide;
  readonly rules: KeyRules;
  readonly limits: { readonly rates: RateLimits; readonly quotas: TenantQuotas; readonly signing: WorkQueue };
  readonly held: { readonly custody: GuardedCustody; readonly evidence: Pick<Evidence, 'forSigning'> };
  readonly audit: AuditLog;
}

const NO_CONTEXT = Buffer.alloc(0);

/** POST /sign, [sign] of models/sign-rotate-audit.pml: authorise → policy → limits → evidence → custody → still usable → audit; the entry is in the log before the answer. */
export function makeSign({ authorise, decide, rules, limits, held: { custody, evidence }, audit }: SignDeps) {
  return async (call: ClientCall, request: SignRequest): Promise<SignAnswer> => {
    // Model: [authorise].
    const subject = await authorise.version(call, 'kms:sign', request.kid);
    const { key, version } = subject;
    rules.requireUsable(subject);

    const decision = await decide(call, key, { produceHybrid: request.produceHybrid });
    rules.requirePolicy(subject, decision, decision.mode);
    const schemes = schemesToSign(subject, decision, request);
    custody.require();
    const { message, digestHex } = messageOf(key.input, request.payload);

    limits.rates.chargeSigning(key.tenant);
    limits.quotas.enter(call, key.tenant, decision.quotas);
    const attestation = await evidence.forSigning(version, Buffer.from(digestHex, 'hex'), { isAsked: request.isEvidenceAsked, decision });
    // Model: [custody, append].
    const signed = await limits.signing.run(key.tenant, () => custody.sign(version, schemes, message, request.context ?? NO_CONTEXT));
    await rules.requireStillUsable(subject);

    const event = eventOf(call, { inputHash: digestHex, result: 'ok' });
    const { firstIndex } = await audit.append([attestation === undefined ? event : { ...event, attestation: entryAttestation(attestation) }]);
    return {
      kid: version.kid,
      digestHex,
      signatures: schemes.map((scheme, i) => ({ scheme, bytes: signed[i] ?? NO_CONTEXT })),
      ...(attestation && { attestation }),
      audit: { index: firstIndex, opId: call.opId },
    };
  };
}

/** All schemes of the key when hybrid is produced, else the classical one of a key that has both. */
function schemesToSign({ spec }: Subject, decision: PolicyAnswer, { context, produceHybrid }: SignRequest): readonly SignatureScheme[] {
  if (spec.kind !== 'signature') throw new KmsError('Unsupported', { hint: 'this key does not sign' });
  if (context !== undefined && !spec.schemes.every((scheme) => scheme.hasContext)) throw new KmsError('Unsupported', { hint: 'context_b64 is for ml-dsa and the composite only' });
  if (spec.schemes.length === 1) {
    const isComposite = spec.schemes.every((scheme) => scheme.classical && scheme.postQuantum);
    if (produceHybrid === true && !isComposite) throw new KmsError('Unsupported', { hint: 'this key has one algorithm and cannot produce a hybrid' });
    return spec.schemes;
  }
  return resolveHybrid(decision.produceHybrid, produceHybrid) ? spec.schemes : spec.schemes.filter((scheme) => scheme.classical);
}
