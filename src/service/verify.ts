import type { SignatureScheme } from '../core/algorithm/table.ts';
import type { VerifyMode } from '../core/bundle/modes.ts';
import type { Kid } from '../core/key/kid.ts';
import type { Message, Payload } from '../core/payload.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { PublicKeys } from '../ports/public-keys.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall, Subject } from './call.ts';
import type { GuardedCustody } from './custody-guard.ts';
import type { Decide } from './decide.ts';
import type { Integrity } from './integrity.ts';
import type { KeyRules } from './key-rules.ts';
import type { TenantQuotas } from './tenant-quotas.ts';
import type { WorkQueue } from './work-queue.ts';
import { specOf } from '../core/algorithm/table.ts';
import { isSatisfied } from '../core/bundle/modes.ts';
import { KmsError } from '../core/errors.ts';
import { canVerify } from '../core/key/lifecycle.ts';
import { messageOf } from '../core/payload.ts';
import { resolveMode } from '../core/policy/decision.ts';
import { eventOf } from './call.ts';

/** One signature as the caller names it. */
interface NamedSignature {
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
  /** Log, anchor or store are at odds, or the policy service could not be asked: the answer is only as good as what is here. */
  readonly isDegraded: boolean;
  /** The backend is out, and what is known of its keys is so old; left out while it is not. */
  readonly cacheAgeMs?: number;
}

export interface VerifyDeps {
  readonly authorise: Authorise;
  readonly decisions: { readonly decide: Decide; readonly rules: KeyRules };
  readonly limits: { readonly quotas: TenantQuotas; readonly verifying: WorkQueue };
  readonly publicKeys: PublicKeys;
  readonly knownKeys: KnownKeys;
  readonly record: RecordVerify;
  readonly integrity: Pick<Integrity, 'isWhole'>;
}

/** Public keys as they were known when the backend was last there (DESIGN §9). */
interface KnownKeys {
  readonly outForMs: GuardedCustody['outForMs'];
  /** `audit.verify_cache_ttl_ms`. */
  readonly ttlMs: () => number;
}

/** Writes the entry of a verify, or counts that it could not: a verify is never refused for the log's sake. */
export type RecordVerify = (...event: Parameters<typeof eventOf>) => Promise<void>;

/** One version that may satisfy the request, with all that is known before any signature is checked. */
interface Candidate extends Subject {
  readonly schemes: readonly SignatureScheme[];
  readonly mode: VerifyMode;
  readonly decision: Awaited<ReturnType<Decide['orOwn']>>;
  readonly message: Message;
}

const VERSIONS_MAX = 64;
const NO_CONTEXT = Buffer.alloc(0);

/** POST /verify: every usable version, newest first, until one satisfies its mode. */
export function makeVerify({ authorise, decisions: { decide, rules }, limits: { quotas, verifying }, publicKeys, knownKeys, record, integrity }: VerifyDeps) {
  const candidatesOf = async (call: ClientCall, kid: Kid, request: VerifyRequest): Promise<readonly Candidate[]> => {
    const { key, versions } = await authorise.versions(call.caller, 'kms:verify', kid);
    const spec = specOf(key.alg, key.parameterSet);
    if (spec.kind !== 'signature') throw new KmsError('Unsupported', { hint: 'this key does not sign' });
    rules.requireAllowed(key.alg);
    const usable = versions.filter(({ state }) => canVerify(state)).slice(0, VERSIONS_MAX);
    const [newest] = usable;
    if (newest === undefined) throw new KmsError('KeyState', { hint: 'no version of this key may verify' });
    call.subject = { key, version: newest, spec };

    const decision = await decide.orOwn(call, key, { mode: request.mode });
    const mode = resolveMode(decision.mode, request.mode);
    rules.requirePolicy({ spec }, decision, mode);
    const message = messageOf(key.input, request.payload);
    return usable.map((version) => ({ key, version, spec, schemes: spec.schemes, mode, decision, message }));
  };

  const check = ({ version, schemes, message }: Candidate, request: VerifyRequest) =>
    Promise.all(schemes.flatMap((scheme) => {
      const signature = request.signatures.find((named) => isOf(named, scheme));
      const part = version.publicParts.find(({ alg }) => alg === scheme.wireAlg);
      if (signature === undefined || part === undefined) return [];
      return [publicKeys.verify(scheme, part, message.message, request.context ?? NO_CONTEXT, signature.bytes).then((ok) => ({ scheme, ok }))];
    }));

  return async (call: ClientCall, request: VerifyRequest): Promise<VerifyAnswer> => {
    const cacheAgeMs = ageOf(knownKeys);
    const candidates: Candidate[] = [];
    for (const kid of request.kids) candidates.push(...(await candidatesOf(call, kid, request)));
    const [first] = candidates;
    if (first === undefined) throw new Error('a verify is of one kid or more');
    call.subject = first;
    requireFitting(candidates, request);
    // It is one operation of each tenant, whatever it names of them.
    for (const [tenant, { decision }] of new Map(candidates.map((candidate) => [candidate.key.tenant, candidate]))) quotas.enter(call, tenant, decision.quotas);

    return verifying.run(first.key.tenant, async () => {
      const checked: { alg: string; kid: string; ok: boolean }[] = [];
      let satisfied: Candidate | undefined;
      for (const candidate of candidates) {
        const results = await check(candidate, request);
        checked.push(...results.map(({ scheme, ok }) => ({ alg: scheme.wireAlg, kid: candidate.version.kid, ok })));
        const valid = new Set(results.filter(({ ok }) => ok).map(({ scheme }) => scheme));
        if (!isSatisfied(candidate.mode, candidate.schemes, valid)) continue;
        satisfied = candidate;
        break;
      }
      const { mode, message, decision } = (call.subject = satisfied ?? first);
      call.policy = { ...decision, mode };
      await record(call, { inputHash: message.digestHex, result: satisfied === undefined ? 'invalid' : 'ok' });
      return { ok: satisfied !== undefined, mode, checked, isDegraded: !integrity.isWhole() || candidates.some((candidate) => candidate.decision.isDegraded), ...(cacheAgeMs !== undefined && { cacheAgeMs }) };
    }, candidates.length);
  };
}

/** Undefined while the backend is there. */
function ageOf({ outForMs, ttlMs }: KnownKeys): number | undefined {
  const ageMs = outForMs();
  if (ageMs !== undefined && ageMs > ttlMs()) throw new KmsError('StoreUnavailable', { hint: 'the backend that holds the keys is out for longer than audit.verify_cache_ttl_ms' });
  return ageMs;
}

/** A signature that no key of the request can have made is the caller's mistake, not a wrong signature. */
function requireFitting(candidates: readonly Candidate[], { signatures, context }: VerifyRequest): void {
  const schemes = candidates.flatMap((candidate) => candidate.schemes);
  if (!signatures.every((named) => schemes.some((scheme) => isOf(named, scheme)))) {
    throw new KmsError('Unsupported', { hint: 'the key has no such alg or parameter_set' });
  }
  if (context !== undefined && !schemes.every((scheme) => scheme.hasContext)) throw new KmsError('Unsupported', { hint: 'context_b64 is for ml-dsa and the composite only' });
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
