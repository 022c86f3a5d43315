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
  /** Makes what the custody has of its own on the token where it is not there, if it may; else it throws. */
  haveOwnKeys(mayCreate: boolean): Promise<void>;
  /** The private or secret key under this label, as the token describes it; undefined when there is none. */
  attributesOf(label: string): Promise<KeyAttributes | undefined>;
  facts(): Promise<TokenFacts>;
  /** The data objects under this label: one, or two where a write was cut short. */
  readData(label: string): Promise<readonly Uint8Array[]>;
  /** A new one, and the ones before it go. */
  writeData(label: string, data: Uint8Array): Promise<void>;
}

/** What says that a key was made inside and never leaves (PKCS #11 3.0 §4.9, §4.10). */
export interface KeyAttributes {
  readonly token: boolean;
  readonly private: boolean;
  readonly sensitive: boolean;
  readonly always_sensitive: boolean;
  readonly extractable: boolean;
  readonly never_extractable: boolean;
  readonly local: boolean;
}

/** Of the token and its slot, for people. */
export interface TokenFacts {
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
  readonly slot: string;
  /** That it has: CKM_ numbers. */
  readonly mechanisms: readonly number[];
}

export interface TokenSettings {
  readonly modulePath: string;
  readonly slotLabel: string;
  readonly pin: string;
  /** How many sessions, each with one call at a time. */
  readonly sessions: number;
}

export interface TokenCall {
  readonly id: number;
  readonly call: keyof TokenCalls;
  readonly args: readonly unknown[];
}

export type TokenAnswer = { readonly id: number } & ({ readonly value: unknown } | { readonly fault: FaultKind; readonly why: string });

/** Several in one message: what a message costs is more than what a call in it does. */
export type ToToken = { readonly open: TokenSettings } | { readonly calls: readonly TokenCall[] };

/** One answer for each question. */
export type FromToken = { readonly opened: true } | { readonly refused: string } | { readonly answers: readonly TokenAnswer[] };

/** Seals what the token has no mechanism for; non-extractable, made once. */
export const SEAL_LABEL = 'ron-kms seal';
/** Signs nothing but probes. */
export const PROBE_LABEL = 'ron-kms probe';
