/** A backup as it lies on disk (docs/formats/backup.md). */
import type { LockedMemory } from '../system/locked-memory.ts';
import type { Kdf } from '../root-key/kdf.ts';
import type { SecretOpener, SecretSealName } from '../root-key/root-key.ts';
import type { Secret } from '../../core/secret.ts';
import { canonicalJson } from '../../core/canonical-json.ts';
import { parseStrictJson } from '../../core/strict-json.ts';
import { isKdf, keyFromPassphrase, newKdf } from '../root-key/kdf.ts';
import { deriveKey } from '../root-key/sealing.ts';

/** The first line: in the clear, and authenticated with the first frame. */
export interface BackupHeader {
  readonly format: 'ron-kms/backup/v1';
  readonly instance_id: string;
  readonly created_at: string;
  readonly seal: SecretSealName;
  /** With a passphrase only. */
  readonly kdf?: Kdf;
}

/** The first frame: what is in the backup, and where the log stood. */
export interface BackupManifest {
  readonly generation: number;
  readonly records: number;
  readonly log: { readonly origin: string; readonly size: number; readonly root_hash: string; readonly checkpoint: string };
  readonly database: { readonly bytes: number; readonly sha256: string };
}

const FORMAT = 'ron-kms/backup/v1';
const KEYFILE_INFO = 'ron-kms::ron-kms::backup::keyfile';
export const HEADER_BYTES_MAX = 4096;

export function newHeader({ seal, kdf }: SecretOpener, instanceId: string, createdAt: string): BackupHeader {
  return { format: FORMAT, instance_id: instanceId, created_at: createdAt, seal, ...(seal === 'passphrase' && { kdf: newKdf(kdf ?? 'argon2id') }) };
}

export function headerLine(header: BackupHeader): Buffer {
  return Buffer.from(`${canonicalJson(header)}\n`);
}

/** Undefined when it is not the first line of a backup of this version. */
export function parseHeader(line: Buffer): BackupHeader | undefined {
  try {
    const header = parseStrictJson(line) as Readonly<Record<string, unknown>>;
    const { format, instance_id: instanceId, created_at: createdAt, seal, kdf, ...more } = header;
    const isWhole = format === FORMAT && typeof instanceId === 'string' && typeof createdAt === 'string' && Object.keys(more).length === 0
      && (seal === 'passphrase' ? isKdf(kdf) : seal === 'keyfile' && kdf === undefined);
    return isWhole ? header as unknown as BackupHeader : undefined;
  } catch {
    return undefined;
  }
}

/** The key of the frames, in locked memory of the caller's. */
export function streamKeyOf({ instance_id: instanceId, kdf }: BackupHeader, secret: Secret, memory: LockedMemory): Promise<Secret> {
  return kdf === undefined ? Promise.resolve(deriveKey(secret, { info: KEYFILE_INFO, instanceId }, memory)) : keyFromPassphrase(secret, kdf, memory);
}
