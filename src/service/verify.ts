import type { SignatureScheme } from '../core/algorithm/table.ts';
import type { VerifyMode } from '../core/bundle/modes.ts';
import type { Kid } from '../core/key/kid.ts';
import type { KeyRecord, VersionRecord } from '../core/key/record.ts';
import type { Payload } from '../core/payload.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Policy, PolicyAnswer } from '../ports/policy.ts';
import type { PublicKeys } from '../ports/public-keys.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall } from './call.ts';
import type { InFlight } from './in-flight.ts';
import type { KeyRules } from './key-rules.ts';
import { specOf } from '../core/algorithm/table.ts';
import { isSatisfied, stricter } from '../core/bundle/modes.ts';
import { KmsError } from '../core/errors.ts';
import { canVerify } from '../core/key/lifecycle.ts';
import { messageOf } from '../core/payload.ts';
import { resolveMode } from '../core/policy/decision.ts';
import { eventOf } from './call.ts';

/** One signature as the caller names it. */
export interface NamedSignature {
  readonly alg: string;
  readonly parameterSet: string | undefined;
  readonly bytes: Buffer;
}

export interface VerifyRequest {
  /** 1 to 16; one version of one of them has to satisfy the mode. */
  readonly kids: readonly Kid[];
  readonly payload: Payload;
  /** Not empty, no algorithm twice. */
  readonly signatures: readonly NamedSignature[];
  readonly context: Buffer | undefined;
  readonly mode: VerifyMode | undefined;
}

export interface VerifyAnswer {
  readonly ok: boolean;
  readonly mode: VerifyMode;
  readonly checked: readonly { readonly alg: string; readonly kid: string; readonly ok: boolean }[];
}

export interface VerifyDeps {
  readonly authorise: Authorise;
  readonly policy: Policy;
  readonly rules: KeyRules;
  readonly verifying: InFlight;
  readonly publicKeys: PublicKeys;
  readonly record: RecordVerify;
}

/** Writes the entry of a verify, or counts that it could not: a verify is never refused for the log's sake. */
export type RecordVerify = (...event: Parameters<typeof eventOf>) => Promise<void>;

interface Candidate {
  readonly key: KeyRecord;
  readonly version: VersionRecord;
  readonly schemes: readonly SignatureScheme[];
  readonly decision: PolicyAnswer;
}

const VERSIONS_MAX = 64;
const NO_CONTEXT = Buffer.alloc(0);

/** POST /verify: every usable version, newest first, until one satisfies the mode. */
export function makeVerify({ authorise, policy, rules, verifying, publicKeys, record }: VerifyDeps) {
  const candidatesOf = async (call: ClientCall, kid: Kid): Promise<readonly Candidate[]> => {
    const { key, versions } = await authorise.versions(call.caller, 'kms:verify', kid);
    const spec = specOf(key.alg, key.parameterSet);
    if (spec.kind !== 'signature') throw new KmsError('Unsupported', { hint: 'this key does not sign' });
    rules.requireAllowed(key.alg);
    const [newest] = versions;
    if (newest !== undefined) call.subject ??= { key, version: newest, spec };
    const usable = versions.filter(({ state }) => canVerify(state)).slice(0, VERSIONS_MAX);
    if (usable.length === 0) throw new KmsError('KeyState', { hint: 'no version of this key may verify' });
    const decision = await policy.decide({ op: call.op, tenant: key.tenant });
    return usable.map((version) => ({ key, version, schemes: spec.schemes, decision }));
  };

  const checkVersion = ({ key, version, schemes }: Candidate, request: VerifyRequest) =>
    Promise.all(schemes.flatMap((scheme) => {
      const signature = request.signatures.find((named) => isOf(named, scheme));
      const part = version.publicParts.find(({ alg }) => alg === scheme.wireAlg);
      if (signature === undefined || part === undefined) return [];
      const { message } = messageOf(key.input, request.payload);
      return [publicKeys.verify(scheme, part, message, request.context ?? NO_CONTEXT, signature.bytes).then((ok) => ({ scheme, kid: version.kid, ok }))];
    }));

  return async (call: ClientCall, request: VerifyRequest): Promise<VerifyAnswer> => {
    const candidates = (await Promise.all(request.kids.map((kid) => candidatesOf(call, kid)))).flat();
    requireFitting(candidates, request);
    const strictest = modeFor(candidates, request, rules);

    return verifying.run(async () => {
      const checked: { alg: string; kid: string; ok: boolean }[] = [];
      let satisfied = false;
      for (const candidate of candidates) {
        const results = await checkVersion(candidate, request);
        checked.push(...results.map(({ scheme, kid, ok }) => ({ alg: scheme.wireAlg, kid, ok })));
        const valid = new Set(results.filter(({ ok }) => ok).map(({ scheme }) => scheme));
        satisfied = isSatisfied(resolveMode(candidate.decision.mode, request.mode), candidate.schemes, valid);
        if (!satisfied) continue;
        call.subject = { key: candidate.key, version: candidate.version, spec: specOf(candidate.key.alg, candidate.key.parameterSet) };
        break;
      }
      const { digestHex } = messageOf(candidates[0]?.key.input ?? 'b3', request.payload);
      await record(call, { inputHash: digestHex, result: satisfied ? 'ok' : 'invalid', ...(candidates[0] && { policy: candidates[0].decision }) });
      return { ok: satisfied, mode: strictest, checked };
    });
  };
}

/** A signature that no key of the request can have made is the caller's mistake, not a wrong signature. */
function requireFitting(candidates: readonly Candidate[], { signatures, context }: VerifyRequest): void {
  const schemes = candidates.flatMap((candidate) => candidate.schemes);
  if (!signatures.every((named) => schemes.some((scheme) => isOf(named, scheme)))) {
    throw new KmsError('Unsupported', { hint: 'the key has no such alg or parameter_set' });
  }
  if (context !== undefined && !schemes.every((scheme) => scheme.hasContext)) throw new KmsError('Unsupported', { hint: 'context_b64 is for ml-dsa and the composite only' });
}

/** Holds every key against its tenant's mode, and names the strictest that applied. */
function modeFor(candidates: readonly Candidate[], request: VerifyRequest, rules: KeyRules): VerifyMode {
  const modes = candidates.map(({ key, decision }) => {
    const mode = resolveMode(decision.mode, request.mode);
    rules.requirePolicy({ spec: specOf(key.alg, key.parameterSet) }, decision, mode);
    return mode;
  });
  return modes.reduce((a, b) => stricter(a, b), request.mode ?? 'or');
}

function isOf(named: NamedSignature, scheme: SignatureScheme): boolean {
  return named.alg === scheme.wireAlg && (named.parameterSet === undefined || named.parameterSet === scheme.parameterSet);
}

export function makeRecordVerify(audit: AuditLog, telemetry: Telemetry): RecordVerify {
  return async (call, outcome) => {
    try {
      await audit.append([eventOf(call, outcome)]);
    } catch {
      telemetry.event('warn', 'verify_not_logged', { op_id: call.opId });
    }
  };
}
