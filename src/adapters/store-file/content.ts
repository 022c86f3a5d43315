import type { KeyRecord, PublicPart, VersionRecord } from '../../core/key/record.ts';
import type { Life } from '../../core/key/lifecycle.ts';
import { hash } from 'node:crypto';
import { canonicalJson } from '../../core/canonical-json.ts';
import { blake3Hex } from '../../core/digest.ts';
import { parseKid } from '../../core/key/kid.ts';
import { canUse } from '../../core/key/lifecycle.ts';
import { currentVersion } from '../../core/key/record.ts';
import { versionNumberOf } from './record-name.ts';

/** Larger public parts stand in a table of their own, named here by their hash. */
const INLINE_BYTES_MAX = 64;
const KID_HASH_DIGITS = 8;

interface PartContent {
  readonly alg: string;
  readonly parameter_set?: string;
  readonly bytes_b64?: string;
  readonly sha256?: string;
}

/** `content` of a record: the facts of one version, with the first one also those of the key. */
interface VersionContent {
  readonly attestation_class: string;
  readonly created_at_ms: number;
  readonly destroy_at_ms?: number;
  readonly key?: KeyContent;
  readonly public: readonly PartContent[];
  readonly restore_to?: 'enabled' | 'disabled';
  readonly sealed_generation?: number;
  readonly state: Life['state'];
}

interface KeyContent {
  readonly created_at_ms: number;
  readonly input: 'b3' | 'raw';
  readonly labels: Readonly<Record<string, string>>;
  readonly parameter_set?: string;
  readonly policy_hints?: Readonly<Record<string, unknown>>;
  readonly rotate_after_ms?: number;
  /** When the next rotation is due; left out while there is no schedule, or the current version is not enabled. */
  readonly rotate_at_ms?: number;
}

/** The content of a version; `key` is the record it belongs to. */
export function contentOf(version: VersionRecord, key: KeyRecord): string {
  return canonicalJson({
    attestation_class: version.attestationClass,
    created_at_ms: version.createdAtMs,
    destroy_at_ms: version.destroyAtMs,
    key: version.version === 1 ? keyContentOf(key) : undefined,
    public: version.publicParts.map((part) => {
      const sha256 = hashOf(part);
      return { alg: part.alg, parameter_set: part.parameterSet, ...(sha256 === undefined ? { bytes_b64: part.bytes.toString('base64') } : { sha256 }) };
    }),
    restore_to: version.restoreTo,
    sealed_generation: version.sealedGeneration,
    state: version.state,
  });
}

function keyContentOf(key: KeyRecord): KeyContent {
  const { state, createdAtMs } = currentVersion(key);
  return {
    created_at_ms: key.createdAtMs,
    input: key.input,
    labels: key.labels,
    ...(key.parameterSet !== undefined && { parameter_set: key.parameterSet }),
    ...(key.policyHints && { policy_hints: key.policyHints }),
    ...(key.rotateAfterMs !== undefined && { rotate_after_ms: key.rotateAfterMs, ...(canUse(state) && { rotate_at_ms: createdAtMs + key.rotateAfterMs }) }),
  };
}

/** The parts that do not stand in the content, by their ordinal. */
export function largePartsOf({ publicParts }: VersionRecord): readonly { readonly ordinal: number; readonly bytes: Uint8Array }[] {
  return publicParts.flatMap(({ bytes }, ordinal) => (isLarge(bytes) ? [{ ordinal, bytes }] : []));
}

/** The hashes of the parts that stand apart, by their ordinal. */
export function largePartHashes(content: string): readonly { readonly ordinal: number; readonly sha256: string }[] {
  const { public: parts } = JSON.parse(content) as VersionContent;
  return parts.flatMap(({ sha256 }, ordinal) => (sha256 === undefined ? [] : [{ ordinal, sha256 }]));
}

/** A record as it was read, authenticated already. */
export interface StoredVersion {
  readonly kid: string;
  readonly content: string;
  readonly sealed: Uint8Array | null;
  /** Reads a part that stands apart, held against its hash. */
  readonly readPart: ReadPart;
}

export type ReadPart = (ordinal: number, sha256: string) => Buffer;

/** The key of these versions, all there are, in any order. */
export function keyOf(stored: readonly StoredVersion[]): KeyRecord {
  const versions = stored.map(versionOf).toSorted((a, b) => a.version.version - b.version.version);
  const first = versions[0];
  const kid = first && parseKid(first.version.kid);
  if (first?.key === undefined || kid === undefined || versions.some(({ version }, i) => version.version !== i + 1)) throw new Error('not the versions of a key');
  const { key } = first;
  return {
    base: kid.base, tenant: kid.tenant, purpose: kid.purpose, alg: kid.alg,
    ...(key.parameter_set !== undefined && { parameterSet: key.parameter_set }),
    input: key.input,
    labels: key.labels,
    ...(key.policy_hints && { policyHints: key.policy_hints }),
    ...(key.rotate_after_ms !== undefined && { rotateAfterMs: key.rotate_after_ms }),
    createdAtMs: key.created_at_ms,
    versions: versions.map(({ version }) => version),
  };
}

function versionOf({ kid, content, sealed, readPart }: StoredVersion): { readonly version: VersionRecord; readonly key: KeyContent | undefined } {
  const facts = JSON.parse(content) as VersionContent;
  return {
    key: facts.key,
    version: {
      version: versionNumberOf(kid),
      kid,
      kidHash: blake3Hex(kid).slice(0, KID_HASH_DIGITS),
      state: facts.state,
      ...(facts.destroy_at_ms !== undefined && { destroyAtMs: facts.destroy_at_ms }),
      ...(facts.restore_to && { restoreTo: facts.restore_to }),
      createdAtMs: facts.created_at_ms,
      attestationClass: facts.attestation_class,
      publicParts: facts.public.map((part, ordinal) => partOf(part, ordinal, readPart)),
      ...(sealed && { custodyBlob: bufferOf(sealed) }),
      ...(facts.sealed_generation !== undefined && { sealedGeneration: facts.sealed_generation }),
    },
  };
}

/** Made when they are asked for, which a signature never does: of a million keys those that stand apart are 2 GB, and a buffer takes ten times the 32 bytes of a small one. */
function partOf({ alg, parameter_set: parameterSet, bytes_b64: text = '', sha256 }: PartContent, ordinal: number, readPart: ReadPart): PublicPart {
  const name = { alg, ...(parameterSet !== undefined && { parameterSet }) };
  if (sha256 === undefined) return { ...name, get bytes() { return Buffer.from(text, 'base64'); } };
  const part: PublicPart = { ...name, get bytes() { return readPart(ordinal, sha256); } };
  hashes.set(part, sha256);
  return part;
}

/** Of parts that stand apart, their SHA-256 in hex: a mutation asks for it several times, and a part never changes. */
const hashes = new WeakMap<PublicPart, string>();

/** Undefined for one that stands in the content itself. */
function hashOf(part: PublicPart): string | undefined {
  const known = hashes.get(part);
  if (known !== undefined || !isLarge(part.bytes)) return known;
  const made = hash('sha256', part.bytes, 'hex');
  hashes.set(part, made);
  return made;
}

function isLarge(bytes: Uint8Array): boolean {
  return bytes.length > INLINE_BYTES_MAX;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
