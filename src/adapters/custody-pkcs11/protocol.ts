import type { FaultKind } from './faults.ts';

/** What the service asks the process of the module, over IPC with structured clones: one answer for each question. */
export interface TokenCalls {
  /** A signature by a probe key: the whole way to the token. */
  probe(): Promise<void>;
  /** Makes an Ed25519 key pair inside, under this label; its raw public key. */
  makeEd25519(label: string): Promise<Uint8Array>;
  makeX25519(label: string): Promise<Uint8Array>;
  makeAes256(label: string): Promise<void>;
  /** Ed25519 (RFC 8032, pure), 64 bytes. */
  sign(label: string, message: Uint8Array): Promise<Uint8Array>;
  /** X25519 (RFC 7748 §5) with this public key, 32 bytes; undefined when it is no group element, or the outcome is zero. */
  derive(label: string, peerPublic: Uint8Array): Promise<Uint8Array | undefined>;
  /** AES-256-GCM: ciphertext and tag. */
  encrypt(label: string, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array>;
  /** Undefined when it does not authenticate. */
  decrypt(label: string, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array | undefined>;
  /** All objects under this label; none is no error. */
  destroy(label: string): Promise<void>;
}

export interface TokenSettings {
  readonly modulePath: string;
  readonly slotLabel: string;
  readonly pin: string;
  /** How many sessions, each with one call at a time. */
  readonly sessions: number;
  /** What the service has of its own on the token may be made: only before there is any key. */
  readonly mayCreate: boolean;
}

export type ToToken = { readonly open: TokenSettings } | { readonly id: number; readonly call: keyof TokenCalls; readonly args: readonly unknown[] };

/** One answer for each question. */
export type FromToken =
  | { readonly opened: true }
  | { readonly refused: string }
  | ({ readonly id: number } & ({ readonly value: unknown } | { readonly fault: FaultKind; readonly why: string }));

/** Seals what the token has no mechanism for; non-extractable, made once. */
export const SEAL_LABEL = 'ron-kms seal';
/** Signs nothing but probes. */
export const PROBE_LABEL = 'ron-kms probe';
