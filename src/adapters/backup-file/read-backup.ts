import type { FileHandle } from 'node:fs/promises';
import type { BackupHeader, BackupManifest } from './format.ts';
import type { Frame, FrameReader } from './frames.ts';
import type { HeldRootKey } from '../root-key/root-keys.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import type { Secret } from '../../core/secret.ts';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { parseStrictJson } from '../../core/strict-json.ts';
import { EPOCH_BYTES } from '../root-key/root-keys.ts';
import { KEY_BYTES, lockSecret } from '../root-key/sealing.ts';
import { HEADER_BYTES_MAX, parseHeader, streamKeyOf } from './format.ts';
import { readFrames } from './frames.ts';

/** A backup whose first frames opened. */
export interface OpenedBackup {
  readonly header: BackupHeader;
  readonly manifest: BackupManifest;
  /** In locked memory; `close` zeroes them. */
  readonly rootKeys: readonly HeldRootKey[];
  /** Reads the rest, once, and holds it against the manifest; gives it on piece by piece. Throws when anything is not as it was written. */
  readDatabase(take: (bytes: Buffer) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

const NEWLINE = 0x0a;

/** The first line, by which one knows what opens the rest. Throws when it is not a backup. */
export async function readBackupHeader(path: string): Promise<BackupHeader> {
  const file = await open(path, 'r');
  try {
    return (await headerIn(file)).header;
  } finally {
    await file.close();
  }
}

/** Opens a backup with the secret that its header asks for; the secret stays the caller's. */
export async function openBackup(path: string, secret: Secret, memory: LockedMemory): Promise<OpenedBackup> {
  const file = await open(path, 'r');
  try {
    const { header, line } = await headerIn(file);
    const key = await streamKeyOf(header, secret, memory);
    const frames = await readFrames(file, line.length, key, line).finally(() => key.destroy());
    const manifest = parseStrictJson((await frameInside(frames)).plaintext) as unknown as BackupManifest;
    const rootKeys = rootKeysIn((await frameInside(frames)).plaintext, memory);
    return {
      header, manifest, rootKeys,
      readDatabase: (take) => readDatabase(frames, manifest, take),
      async close() {
        frames.destroy();
        for (const one of rootKeys) one.key.destroy();
        await file.close();
      },
    };
  } catch (fault) {
    await file.close();
    throw fault;
  }
}

async function headerIn(file: FileHandle): Promise<{ readonly header: BackupHeader; readonly line: Buffer }> {
  const start = Buffer.alloc(HEADER_BYTES_MAX);
  const { bytesRead } = await file.read(start, 0, HEADER_BYTES_MAX, 0);
  const end = start.subarray(0, bytesRead).indexOf(NEWLINE);
  const line = start.subarray(0, end + 1);
  const header = end === -1 ? undefined : parseHeader(line);
  if (header === undefined) throw new Error('it is not a backup of this version');
  return { header, line };
}

/** Behind this one more come: a backup ends with its database. */
async function frameInside(frames: FrameReader): Promise<Frame> {
  const frame = await frames.read();
  if (frame.isLast) throw new Error('it ends before its database');
  return frame;
}

function rootKeysIn(plaintext: Buffer, memory: LockedMemory): readonly HeldRootKey[] {
  const each = EPOCH_BYTES + KEY_BYTES;
  return Array.from({ length: plaintext.length / each }, (_, i) => ({
    epoch: plaintext.toString('hex', i * each, i * each + EPOCH_BYTES),
    key: lockSecret(plaintext.subarray(i * each + EPOCH_BYTES, (i + 1) * each), memory),
  }));
}

async function readDatabase(frames: FrameReader, { database }: BackupManifest, take: (bytes: Buffer) => Promise<void>): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for (;;) {
    const { plaintext, isLast } = await frames.read();
    hash.update(plaintext);
    bytes += plaintext.length;
    await take(plaintext);
    if (!isLast) continue;
    if (bytes !== database.bytes || hash.digest('hex') !== database.sha256) throw new Error('its database is not the one that its manifest names');
    return;
  }
}
