import type { TileLevel } from '../core/log/tiles.ts';

/** One key of the log, as a verifier may pin it. */
export interface LogKey {
  /** C2SP signed-note verifier key. */
  readonly vkey: string;
  readonly alg: 'ed25519' | 'ml-dsa-44';
  /** The first entry that a checkpoint of this key may cover. */
  readonly fromIndex: number;
  /** The first entry that it no longer signs for; left out while it signs. */
  readonly untilIndex?: number;
  /** The last checkpoint that the keys before and these both signed: a signed note. */
  readonly transitionCheckpoint?: string;
  /** The device that holds it, in words. */
  readonly heldBy?: Readonly<Record<string, string>>;
  /** What a device said of the keys that came together with it. */
  readonly attestation?: KeysAttestation;
}

export interface KeysAttestation {
  readonly class: string;
  /** The attestation key, as it is pinned. */
  readonly key: string;
  readonly evidence: Buffer;
}

/** The log as anyone may read it who is allowed to. */
export interface AuditReader {
  readonly origin: string;
  /** Entries whose writing has succeeded. */
  size(): number;
  /** The oldest entry that is still kept. */
  minimumIndex(): number;
  /** Consecutive entries from `from` on, canonical JSON; fewer than asked at the end, or where bytes become too many at once. */
  entries(from: number, limit: number): Promise<readonly Buffer[]>;
  /** The newest checkpoint, a signed note; undefined before the first. */
  checkpoint(): { readonly note: string; readonly size: number } | undefined;
  /** Waits for a checkpoint over more than `index` entries; throws `AuditUnavailable` when none comes in time. */
  covering(index: number): Promise<{ readonly note: string; readonly size: number }>;
  /** A tile or entry bundle of `width` (256 is full), cut from a wider one where need be; undefined when it is not there. */
  tile(level: TileLevel, index: number, width: number): Promise<Buffer | undefined>;
  keys(): readonly LogKey[];
}
