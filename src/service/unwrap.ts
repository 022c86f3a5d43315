import type { Envelope } from '../core/envelope/envelope.ts';
import type { Kid } from '../core/key/kid.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Custody } from '../ports/custody.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall, Subject } from './call.ts';
import type { Decide } from './decide.ts';
import type { KeyRules } from './key-rules.ts';
import type { RenewSpent } from './renew-spent.ts';
import type { Sealer } from './sealer.ts';
import type { TenantQuotas } from './tenant-quotas.ts';
import type { WorkQueue } from './work-queue.ts';
import { blake3Hex } from '../core/digest.ts';
import { parseEnvelope, suits } from '../core/envelope/envelope.ts';
import { KmsError } from '../core/errors.ts';
import { eventOf } from './call.ts';

export interface UnwrapRequest {
  readonly wrapped: Buffer;
  /** What the caller believes the envelope to be for; another kid in it is `UnwrapFailed`. */
  readonly kid: Kid | undefined;
  readonly aad: Buffer;
}

export interface UnwrapAnswer {
  readonly kid: string;
  readonly alg: string;
  /** The receiver zeroes it. */
  readonly plaintext: Buffer;
  readonly audit: { readonly index: number; readonly opId: string };
}

export interface RewrapAnswer {
  readonly kid: string;
  readonly alg: string;
  readonly wrapped: Buffer;
  readonly audit: { readonly index: number; readonly opId: string };
}

export interface UnwrapDeps {
  readonly authorise: Authorise;
  readonly decide: Decide;
  readonly rules: KeyRules;
  readonly limits: { readonly quotas: TenantQuotas; readonly signing: WorkQueue };
  readonly custody: Custody;
  readonly audit: AuditLog;
}

/** POST /unwrap, in the order parse, authorise, state, crypto; what fails in parse or crypto looks the same. */
export function makeUnwrap({ authorise, decide, rules, limits: { quotas, signing }, custody, audit }: UnwrapDeps) {
  return async (call: ClientCall, { wrapped, kid, aad }: UnwrapRequest): Promise<UnwrapAnswer> => {
    const envelope = parseEnvelope(wrapped);
    if (kid !== undefined && !isSameKid(kid, envelope)) throw new KmsError('UnwrapFailed');
    const subject = await authorise.version(call, 'kms:unwrap', envelope.kid);
    // What is wrapped must be opened whatever its algorithm is thought of by now: a no is heard, a mode is not.
    const decision = await decide(call, subject.key);
    quotas.enter(call, subject.key.tenant, decision.quotas);
    const plaintext = await signing.run(subject.key.tenant, () => openEnvelope({ rules, custody }, subject, envelope, aad));
    try {
      await rules.requireStillUsable(subject);
      const { firstIndex } = await audit.append([eventOf(call, { inputHash: blake3Hex(wrapped), result: 'ok' })]);
      return { kid: subject.version.kid, alg: subject.key.alg, plaintext, audit: { index: firstIndex, opId: call.opId } };
    } catch (fault) {
      plaintext.fill(0);
      throw fault;
    }
  };
}

export interface RewrapDeps extends UnwrapDeps {
  readonly target: { readonly sealer: Sealer; readonly renewSpent: RenewSpent };
}

/** POST /rewrap: opened by its own version, sealed to the current one; the plaintext is never shown. */
export function makeRewrap({ authorise, decide, rules, limits: { quotas, signing }, custody, audit, target: { sealer, renewSpent } }: RewrapDeps) {
  return async (call: ClientCall, { wrapped, aad }: Omit<UnwrapRequest, 'kid'>): Promise<RewrapAnswer> => {
    const envelope = parseEnvelope(wrapped);
    const from = await authorise.version(call, REWRAP_SCOPES, envelope.kid);
    const current = authorise.current(call, from.key);
    rules.requireUsable(current);
    const decision = await decide(call, current.key);
    rules.requirePolicy(current, decision, decision.mode);
    quotas.enter(call, current.key.tenant, decision.quotas);
    const to = await renewSpent(call, current, false);
    const rewrapped = await signing.run(to.key.tenant, async () => {
      const plaintext = await openEnvelope({ rules, custody }, from, envelope, aad);
      try {
        return await sealer.seal(to, plaintext, aad, undefined);
      } finally {
        plaintext.fill(0);
      }
    });
    for (const subject of [from, to]) await rules.requireStillUsable(subject);
    const { firstIndex } = await audit.append([eventOf(call, { inputHash: blake3Hex(wrapped), result: 'ok' })]);
    return { kid: to.version.kid, alg: to.key.alg, wrapped: rewrapped, audit: { index: firstIndex, opId: call.opId } };
  };
}

const REWRAP_SCOPES = ['kms:rewrap', 'kms:wrap', 'kms:unwrap'] as const;

async function openEnvelope({ rules, custody }: Pick<UnwrapDeps, 'rules' | 'custody'>, { version, spec }: Subject, envelope: Envelope, aad: Buffer): Promise<Buffer> {
  rules.requireState(version);
  const plaintext = suits(envelope, spec) ? await custody.open(version, spec, envelope, aad) : undefined;
  if (plaintext === undefined) throw new KmsError('UnwrapFailed');
  return plaintext;
}

function isSameKid(kid: Kid, envelope: Envelope): boolean {
  return kid.base === envelope.kid.base && (kid.version === undefined || kid.version === envelope.kid.version);
}
