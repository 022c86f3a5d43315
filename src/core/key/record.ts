import type { Alg } from '../algorithm/table.ts';
import type { Life } from './lifecycle.ts';

/** One raw public key as its standard writes it, under the `alg` of its part. */
export interface PublicPart {
  readonly alg: string;
  readonly parameterSet?: string;
  readonly bytes: Buffer;
}

/** What is known of one version of a key; immutable. */
export interface VersionRecord extends Life {
  readonly version: number;
  /** The whole kid, `#vN` included. */
  readonly kid: string;
  /** First 8 hex digits of the kid's BLAKE3, for logs (DESIGN §11). */
  readonly kidHash: string;
  readonly createdAtMs: number;
  readonly attestationClass: string;
  readonly publicParts: readonly PublicPart[];
  /** What custody wants kept with the record to find the private part again; opaque, safe at rest. */
  readonly custodyBlob?: Buffer;
  /** The generation that the blob is bound to. */
  readonly sealedGeneration?: number;
}

/** What is known of a key; immutable, so a reader's copy never changes under it. */
export interface KeyRecord {
  readonly base: string;
  readonly tenant: string;
  readonly purpose: string;
  readonly alg: Alg;
  readonly parameterSet?: string;
  readonly input: 'b3' | 'raw';
  readonly labels: Readonly<Record<string, string>>;
  readonly policyHints?: Readonly<Record<string, unknown>>;
  readonly rotateAfterMs?: number;
  readonly createdAtMs: number;
  /** Ascending and without holes: version N stands at index N-1. */
  readonly versions: readonly VersionRecord[];
}

export function currentVersion(key: KeyRecord): VersionRecord {
  const current = key.versions.at(-1);
  if (current === undefined) throw new Error('a key has at least one version');
  return current;
}

