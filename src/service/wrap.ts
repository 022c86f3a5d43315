import type { Aead, Kem } from '../core/algorithm/table.ts';
import type { Kid } from '../core/key/kid.ts';
import type { AuditLog } from '../ports/audit-log.ts';
import type { Random } from '../ports/random.ts';
import type { Authorise } from './authorise.ts';
import type { ClientCall } from './call.ts';
import type { Decide } from './decide.ts';
import type { KeyRules } from './key-rules.ts';
import type { RenewSpent } from './renew-spent.ts';
import type { Sealer } from './sealer.ts';
import type { TenantQuotas } from './tenant-quotas.ts';
import type { WorkQueue } from './work-queue.ts';
import { blake3Hex } from '../core/digest.ts';
import { KmsError } from '../core/errors.ts';
import { eventOf } from './call.ts';

export interface WrapRequest {
  readonly kid: Kid;
  /** The key to wrap, or how many bytes of a fresh one. */
  readonly plaintext: { readonly given: Buffer } | { readonly generateBytes: number };
  readonly returnPlaintext: boolean;
  readonly aad: Buffer;
  readonly kemMode: Kem['mode'] | undefined;
  /** For AEAD keys: 12 bytes, above the last one. */
  readonly nonce: Buffer | undefined;
}

export interface WrapAnswer {
  readonly kid: string;
  readonly alg: string;
  readonly wrapped: Buffer;
  /** A generated key, when it was asked for; the receiver zeroes it. */
  readonly plaintext?: Buffer;
  readonly audit: { readonly index: number; readonly opId: string };
}

export interface WrapDeps {
  readonly authorise: Authorise;
  readonly decide: Decide;
  readonly rules: KeyRules;
  readonly limits: { readonly quotas: TenantQuotas; readonly signing: WorkQueue };
  readonly target: { readonly sealer: Sealer; readonly renewSpent: RenewSpent };
  readonly journal: { readonly audit: AuditLog; readonly random: Random };
}

/** POST /wrap: HPKE to the public key of a KEM version, or the AEAD of a symmetric one. */
export function makeWrap({ authorise, decide, rules, limits: { quotas, signing }, target: { sealer, renewSpent }, journal: { audit, random } }: WrapDeps) {
  return async (call: ClientCall, request: WrapRequest): Promise<WrapAnswer> => {
    const asked = await authorise.version(call, 'kms:wrap', request.kid);
    const { key, spec } = asked;
    if (spec.kind === 'signature') throw new KmsError('Unsupported', { hint: 'this key does not wrap' });
    rules.requireUsable(asked);
    requireKemMode(spec, request.kemMode);
    if (request.nonce !== undefined && spec.kind !== 'aead') throw new KmsError('Unsupported', { hint: 'nonce_b64 is for AEAD keys only' });
    const decision = await decide(call, key);
    rules.requirePolicy(asked, decision, decision.mode);
    quotas.enter(call, key.tenant, decision.quotas);
    const subject = await renewSpent(call, asked, request.kid.version !== undefined);

    const plaintext = 'given' in request.plaintext ? request.plaintext.given : random.bytes(request.plaintext.generateBytes);
    const isReturned = 'generateBytes' in request.plaintext && request.returnPlaintext;
    try {
      const wrapped = await signing.run(key.tenant, () => sealer.seal(subject, plaintext, request.aad, request.nonce));
      await rules.requireStillUsable(subject);
      const { firstIndex } = await audit.append([eventOf(call, { inputHash: blake3Hex(wrapped), result: 'ok' })]);
      const answer = { kid: subject.version.kid, alg: key.alg, wrapped, audit: { index: firstIndex, opId: call.opId } };
      return isReturned ? { ...answer, plaintext: Buffer.from(plaintext) } : answer;
    } finally {
      plaintext.fill(0);
    }
  };
}

/** `kem_mode` says what the caller expects the key to be; it never changes what is done. */
function requireKemMode(spec: { readonly kind: 'kem'; readonly kem: Kem } | { readonly kind: 'aead'; readonly aead: Aead }, mode: Kem['mode'] | undefined): void {
  if (mode !== undefined && (spec.kind === 'aead' || mode !== spec.kem.mode)) throw new KmsError('PqPolicy', { hint: 'kem_mode is not what this key is; choose a key of that kind' });
}
