import { createHash } from 'node:crypto';
import { canonicalJson } from '../canonical-json.ts';

export type Op =
  | 'create' | 'patch' | 'rotate' | 'disable' | 'enable' | 'destroy' | 'restore'
  | 'sign' | 'verify' | 'wrap' | 'unwrap' | 'rewrap' | 'reload'
  // The log's own.
  | 'log-keys' | 'anchor' | 'checkpoint-start' | 'refusals' | 'accept-clock' | 'rekey' | 'backup' | 'restore-backup';

/** Who did it. Of the service itself only `via` is set. */
export interface Actor {
  readonly client_id?: string;
  readonly root_key_id?: string;
  readonly token_id?: string;
  readonly via: string;
  readonly peer?: string | undefined;
}

/** What an operation says of itself (DESIGN §8); never a payload. What is undefined is left out of the entry. */
export interface AuditEvent {
  readonly op: Op;
  readonly op_id: string;
  readonly corr_id: string;
  readonly tenant: string | undefined;
  readonly kid: string | undefined;
  readonly alg: string | undefined;
  readonly purpose: string | undefined;
  /** BLAKE3, 64 lower-case hex. */
  readonly input_hash: string;
  /** `ok`, `invalid`, `intent` or an error code. */
  readonly result: string;
  readonly reason: string | undefined;
  readonly actor: Actor;
  readonly policy: { readonly mode: string; readonly decision_id: string | undefined } | undefined;
  readonly generation: number | undefined;
  readonly attestation?: { readonly class: string; readonly evidence_sha256: string };
  /** What an entry of the log itself says besides; docs/formats/log.md has them. */
  readonly detail?: EntryDetail;
}

/** Strings, whole numbers, and lists and objects of them. */
export interface EntryDetail {
  readonly log_keys?: {
    readonly keys: readonly string[];
    readonly reason: 'start' | 'scheduled' | 'command' | 'compromised';
    /** When the keys before these stop to sign, RFC 3339. */
    readonly until?: string;
    /** By every key before these. */
    readonly signatures?: readonly { readonly key_id: string; readonly signature_b64: string }[];
    /** The key that gives evidence from here on, where a device does. */
    readonly attestation_key?: string;
  };
  readonly checkpoint?: { readonly size: number; readonly root_hash: string };
  readonly anchor?: { readonly value: number; readonly tree_size: number; readonly root_hash: string };
  readonly refusals?: { readonly code: string; readonly count: number; readonly since: string; readonly until: string };
  /** What a reload changed; values as `config print` shows them. */
  readonly config?: { readonly version: string; readonly changes: readonly { readonly key: string; readonly from: string; readonly to: string }[]; readonly more?: number };
  /** After an accepted roll-back: the log before this one. */
  readonly replaces?: { readonly origin: string; readonly size: number; readonly root_hash: string };
}

/** As an entry tells of evidence: by its hash. */
export function entryAttestation({ class: name, evidence }: { readonly class: string; readonly evidence: Uint8Array }): NonNullable<AuditEvent['attestation']> {
  return { class: name, evidence_sha256: createHash('sha256').update(evidence).digest('hex') };
}

/** What the log adds as it takes an event in: its place in time and in the key's own count. */
export interface AuditStamp {
  /** 128 random bits, so that a leaf hash tells nothing of a guessed entry. */
  readonly salt: string;
  readonly boot_id: string;
  readonly ts: string;
  readonly mono_ns: string;
  readonly key_seq: number | undefined;
}

const ENTRY_VERSION = 1;

/**
 * The entry as it is hashed: RFC 8785 canonical JSON. The members stand here in its order (UTF-16) and are
 * strings and whole numbers, so `JSON.stringify`, which leaves out the absent ones, writes the canonical form.
 */
export function encodeEntry(event: AuditEvent, stamp: AuditStamp): string {
  const { actor, policy } = event;
  const entry = {
    actor: { client_id: actor.client_id, peer: actor.peer, root_key_id: actor.root_key_id, token_id: actor.token_id, via: actor.via },
    alg: event.alg,
    attestation: event.attestation && { class: event.attestation.class, evidence_sha256: event.attestation.evidence_sha256 },
    boot_id: stamp.boot_id,
    corr_id: event.corr_id,
    generation: event.generation,
    input_hash: event.input_hash,
    key_seq: stamp.key_seq,
    kid: event.kid,
    mono_ns: stamp.mono_ns,
    op: event.op,
    op_id: event.op_id,
    policy: policy && { decision_id: policy.decision_id, mode: policy.mode },
    purpose: event.purpose,
    reason: event.reason,
    result: event.result,
    salt: stamp.salt,
    tenant: event.tenant,
    ts: stamp.ts,
    v: ENTRY_VERSION,
  };
  return event.detail === undefined ? JSON.stringify(entry) : canonicalJson({ ...entry, ...event.detail });
}
