import { canonicalJson } from '../canonical-json.ts';

export type Op =
  | 'create' | 'patch' | 'rotate' | 'disable' | 'enable' | 'destroy' | 'restore'
  | 'sign' | 'verify' | 'wrap' | 'unwrap' | 'rewrap' | 'reload';

/** Who did it. Of the service itself only `via` is set. */
export interface Actor {
  readonly client_id?: string;
  readonly root_key_id?: string;
  readonly token_id?: string;
  readonly via: string;
  readonly peer?: string;
}

/** What an operation says of itself (DESIGN §8); never a payload. */
export interface AuditEvent {
  readonly op: Op;
  readonly op_id: string;
  readonly corr_id: string;
  readonly tenant?: string;
  readonly kid?: string;
  readonly alg?: string;
  readonly purpose?: string;
  /** BLAKE3, 64 lower-case hex. */
  readonly input_hash: string;
  /** `ok`, `invalid`, `intent` or an error code. */
  readonly result: string;
  readonly reason?: string;
  readonly actor: Actor;
  readonly policy?: { readonly mode: string; readonly decision_id?: string };
  readonly generation?: number;
}

/** What the log adds as it takes an event in: its place in time and in the key's own count. */
export interface AuditStamp {
  /** 128 random bits, so that a leaf hash tells nothing of a guessed entry. */
  readonly salt: string;
  readonly boot_id: string;
  readonly ts: string;
  readonly mono_ns: string;
  readonly key_seq?: number;
}

export const ENTRY_VERSION = 1;

/** The entry as it is hashed: RFC 8785 canonical JSON. */
export function encodeEntry(event: AuditEvent, stamp: AuditStamp): string {
  return canonicalJson({ v: ENTRY_VERSION, ...event, ...stamp });
}
