import type { Aead, KeySpec, SignatureScheme } from '../core/algorithm/table.ts';
import type { Envelope } from '../core/envelope/envelope.ts';
import type { PublicPart, VersionRecord } from '../core/key/record.ts';

interface GeneratedKey {
  readonly publicParts: readonly PublicPart[];
  readonly attestationClass: string;
  /**
   * Gives the private parts sealed to the generation that makes the version, for the record of it; safe at rest.
   * Called at most once. Left out where nothing is to be kept with the record.
   */
  readonly seal?: (generation: number) => Buffer;
}

/** The backend as a whole does not work now: nothing about this key or call. Its message says why, for the log. */
export class BackendGone extends Error {
  override readonly name = 'BackendGone';
}

/**
 * Who holds the private parts. Nothing here gives one out. Throws `BackendGone` while it is gone, `StoreUnavailable`
 * for a version that it does not hold; deadlines are kept by who calls it (service/custody-guard.ts).
 */
export interface Custody {
  /** Makes fresh private parts for `kid#vN`: no two versions or algorithms ever share one. */
  generate(kid: string, spec: KeySpec): Promise<GeneratedKey>;
  /** Signs the message with each scheme, in order. `context` is 0 to 255 bytes, for schemes that take one. */
  sign(version: VersionRecord, schemes: readonly SignatureScheme[], message: Buffer, context: Buffer): Promise<readonly Buffer[]>;
  /** Seals under an AEAD key of this version: ciphertext and tag. The nonce is the caller's to keep unique. */
  sealAead(version: VersionRecord, aead: Aead, nonce: Buffer, aad: Buffer, plaintext: Buffer): Promise<Buffer>;
  /** Opens an envelope of this version; undefined when it does not authenticate. */
  open(version: VersionRecord, spec: KeySpec, envelope: Envelope, aad: Buffer): Promise<Buffer | undefined>;
  /** Overwrites the private parts; a version that is already gone is no error. */
  erase(version: Pick<VersionRecord, 'kid'>): Promise<void>;
  /**
   * Resolves when it does its work now, asked over the whole way to where the keys are; rejects when it does not. Left out
   * where they are in this process: there is no way.
   */
  probe?(): Promise<void>;
}
