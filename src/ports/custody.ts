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

/**
 * Who holds the private parts. Nothing here gives one out. A backend that is gone throws
 * `StoreUnavailable`, one that is too slow `Timeout`.
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
  erase(version: VersionRecord): Promise<void>;
  isReady(): boolean;
}
