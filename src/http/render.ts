/** Answers of the services in the words of the wire. */
import type { LogKey } from '../ports/audit-reader.ts';
import type { AcceptClockAnswer } from '../service/accept-clock.ts';
import type { KeyDocument } from '../service/key-document.ts';
import type { LogKeysAnswer } from '../service/operations.ts';
import type { BackupAnswer, BackupState } from '../service/backup.ts';
import type { RekeyAnswer, RekeyState } from '../service/rekey.ts';
import type { ReloadAnswer } from '../service/reload.ts';
import type { RecordsAnswer } from '../service/read-records.ts';
import type { SignAnswer } from '../service/sign.ts';
import type { RewrapAnswer, UnwrapAnswer } from '../service/unwrap.ts';
import type { VerifyAnswer } from '../service/verify.ts';
import type { WrapAnswer } from '../service/wrap.ts';
import type * as wire from './schemas.ts';
import { KmsError } from '../core/errors.ts';
import { formatRfc3339 } from '../core/time.ts';

export function renderSign({ kid, digestHex, signatures, attestation, audit }: SignAnswer): wire.Wire<typeof wire.SignAnswer> {
  return {
    kid,
    payload_b3: digestHex,
    sigs: signatures.map(({ scheme, bytes }) =>
      scheme.parameterSet === undefined
        ? { alg: scheme.wireAlg, signature_b64: bytes.toString('base64') }
        : { alg: scheme.wireAlg, parameter_set: scheme.parameterSet, signature_b64: bytes.toString('base64') }),
    ...(attestation && { attestation: { class: attestation.class, evidence: attestation.evidence.toString('base64') } }),
    audit: renderAudit(audit),
  };
}

export function renderVerify({ ok, mode, checked, isDegraded, cacheAgeMs }: VerifyAnswer): wire.Wire<typeof wire.VerifyAnswer> {
  return { ok, details: { mode, checked: [...checked], ...(isDegraded && { degraded: true }) }, ...(cacheAgeMs !== undefined && { cache_age_ms: cacheAgeMs }) };
}

/** `X-KMS-Cache-Age`, in milliseconds as in the body: of a batch, that of its oldest answer. */
export function cacheAgeOf(answer: { readonly cache_age_ms?: number } | { readonly items?: readonly { readonly cache_age_ms?: number }[] }): Readonly<Record<string, string>> {
  const answers = 'items' in answer ? (answer.items ?? []) : [answer as { readonly cache_age_ms?: number }];
  const ages = answers.flatMap(({ cache_age_ms: ageMs }) => ageMs ?? []);
  return ages.length === 0 ? {} : { 'x-kms-cache-age': String(Math.max(...ages)) };
}

export function renderWrap({ kid, alg, wrapped, plaintext, audit }: WrapAnswer) {
  return { kid, alg, wrapped_b64: wrapped.toString('base64'), ...(plaintext && { plaintext_key_b64: takeText(plaintext) }), audit: renderAudit(audit) };
}

export function renderUnwrap({ kid, alg, plaintext, audit }: UnwrapAnswer) {
  return { kid, alg, plaintext_key_b64: takeText(plaintext), audit: renderAudit(audit) };
}

export function renderRewrap({ kid, alg, wrapped, audit }: RewrapAnswer) {
  return { kid, alg, wrapped_b64: wrapped.toString('base64'), audit: renderAudit(audit) };
}

export function renderList({ keys, next }: { readonly keys: readonly KeyDocument[]; readonly next: string | undefined }) {
  return { keys, ...(next !== undefined && { next_cursor: Buffer.from(next, 'latin1').toString('base64url') }) };
}

export function renderAuditKeys({ origin, keys }: { readonly origin: string; readonly keys: readonly LogKey[] }): wire.Wire<typeof wire.AuditKeys> {
  return {
    origin,
    keys: keys.map(({ vkey, alg, fromIndex, untilIndex, transitionCheckpoint, heldBy, attestation }) => ({
      vkey, alg, from_index: fromIndex,
      ...(untilIndex !== undefined && { until_index: untilIndex }),
      ...(transitionCheckpoint !== undefined && { transition_checkpoint: transitionCheckpoint }),
      ...(heldBy && { held_by: { ...heldBy } }),
      ...(attestation && { attestation: { class: attestation.class, key: attestation.key, evidence_b64: attestation.evidence.toString('base64') } }),
    })),
  };
}

export function renderRecords({ records, next, treeSize }: RecordsAnswer) {
  return { records, ...(next !== undefined && { next }), tree_size: treeSize };
}

export function renderRekeyState({ isMoving, left, total }: RekeyState): wire.Wire<typeof wire.RekeyState> {
  return { state: isMoving ? 'moving' : 'done', left, total };
}

export function renderRekey({ audit, ...state }: RekeyAnswer): wire.Wire<typeof wire.RekeyAnswer> {
  return { ...renderRekeyState(state), audit: renderAudit(audit) };
}

export function renderBackupState(state: BackupState): wire.Wire<typeof wire.BackupState> {
  return { ...state };
}

export function renderBackup({ audit, ...state }: BackupAnswer): wire.Wire<typeof wire.BackupAnswer> {
  return { ...renderBackupState(state), audit: renderAudit(audit) };
}

export function renderLogKeys({ keys, until, audit }: LogKeysAnswer): wire.Wire<typeof wire.LogKeysAnswer> {
  return { keys: [...keys], ...(until !== undefined && { until }), audit: renderAudit(audit) };
}

export function renderReload({ configVersion }: ReloadAnswer): wire.Wire<typeof wire.ReloadAnswer> {
  return { config_version: configVersion };
}

export function renderAcceptClock({ audit }: AcceptClockAnswer): wire.Wire<typeof wire.AcceptClockAnswer> {
  return { audit: renderAudit(audit) };
}

export function renderBatch<T>(items: readonly (T | KmsError)[], requestId: string, render: (item: T) => object): { readonly items: readonly object[] } {
  return { items: items.map((item) => (item instanceof KmsError ? renderError(item, requestId) : render(item))) };
}

export function renderError({ code, message, retryable, hint }: KmsError, requestId: string): wire.Wire<typeof wire.ErrorAnswer> {
  return { error: { code, message, retryable, ...(hint !== undefined && { hint }), ts: formatRfc3339(Date.now()), request_id: requestId } };
}

function renderAudit({ index, opId }: { readonly index: number; readonly opId: string }): { index: number; op_id: string } {
  return { index, op_id: opId };
}

/** The base64 of a plaintext key, which is then zeroed. */
function takeText(plaintext: Buffer): string {
  const text = plaintext.toString('base64');
  plaintext.fill(0);
  return text;
}
