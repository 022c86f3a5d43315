import type { Checkpoint } from '../../client/src/log/checkpoint.ts';
import type { EntryDetail } from '../core/log/entry.ts';
import type { EvidenceStatement } from '../../client/src/log/evidence.ts';
import type { KeysAttestation, LogKey } from './audit-reader.ts';

/** What a log says of its keys when they are new. */
export type LogKeysDetail = NonNullable<EntryDetail['log_keys']>;

/** What is to be attested, and the log as it stands. */
export type Claim = Omit<EvidenceStatement, 'v' | 'origin' | 'device'>;

/** Holds the private log keys. During an overlap the old and the new ones both sign. */
export interface LogSigner {
  readonly origin: string;
  /** Every key there ever was and that the log announced, oldest first. */
  keys(): readonly LogKey[];
  /** The signed note over this checkpoint by every key that signs now; Ed25519 lines first. */
  sign(checkpoint: Checkpoint, nowMs: number): Promise<string>;
  /** HMAC-SHA256 for the log's own state on disk, under a key of its own. */
  mac(bytes: Buffer): Buffer;
  /**
   * Makes the next keys and what the log says of them; nothing signs until `activate`. `treeSize` is the log's
   * as it stands: their entry comes at that index or behind it. Keys that were prepared and not activated are
   * prepared again, unless they were made before a compromise.
   */
  prepare(reason: 'scheduled' | 'command' | 'compromised', nowMs: number, treeSize: number): Promise<LogKeysDetail>;
  /** Keys that wait for `activate`: whether the log announced them, an entry at `fromIndex` or behind it says. Undefined when none wait. */
  prepared(): { readonly keys: readonly string[]; readonly fromIndex: number } | undefined;
  /** The entry that announces them stands at this index: from now on they sign, the old ones until their overlap ends. Durable when it returns. */
  activate(entryIndex: number): Promise<void>;
  /** Drops keys whose overlap has ended; a key dropped is zeroed, its public part is kept with `untilIndex`. */
  retire(nowMs: number, treeSize: number, transitionNote: string): Promise<void>;
  /** Moves all that is sealed of them under the newest root key; durable when it returns. Nothing else may change them meanwhile. */
  move(): Promise<void>;
  /** When the newest keys were made, milliseconds UTC; 0 where a device has come since that gives evidence, and they have none. */
  newestMs(): number;
  /** What a device says of these keys, which came together; undefined where none does. */
  attestationOf(keys: readonly string[]): KeysAttestation | undefined;
  /** Evidence by the newest attestation key. Throws `AttestationMissing` where there is none, and what the device says where that fails. */
  attest(claim: Claim): Promise<Buffer>;
}
