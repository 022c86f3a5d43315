import type { BackupHeader, BackupManifest } from './format.ts';
import type { FrameWriter } from './frames.ts';
import type { HeldRootKey } from '../root-key/root-keys.ts';
import type { LockedMemory } from '../system/locked-memory.ts';
import type { Secret } from '../../core/secret.ts';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { canonicalJson } from '../../core/canonical-json.ts';
import { REVEAL } from '../../core/reveal.ts';
import { KEY_BYTES } from '../root-key/sealing.ts';
import { EPOCH_BYTES } from '../root-key/root-keys.ts';
import { FRAME_BYTES_MAX, writeFrames } from './frames.ts';
import { headerLine } from './format.ts';

export interface BackupContent {
  readonly header: BackupHeader;
  readonly manifest: BackupManifest;
  readonly rootKeys: readonly HeldRootKey[];
  /** A database that nobody writes. */
  readonly databasePath: string;
  readonly signal: AbortSignal;
}

const PRIVATE_FILE = 0o600;

/** Writes a new file, flushed when it returns: header, manifest, root keys, database. */
export async function writeBackup(path: string, { header, manifest, rootKeys, databasePath, signal }: BackupContent, key: Secret, memory: LockedMemory): Promise<void> {
  const file = await open(path, 'wx', PRIVATE_FILE);
  try {
    const line = headerLine(header);
    await file.writeFile(line);
    const frames = await writeFrames(file, key, line);
    try {
      await frames.write(Buffer.from(canonicalJson(manifest)), false);
      await writeRootKeys(frames, rootKeys, memory);
      await writeDatabase(frames, databasePath, manifest.database.bytes, signal);
    } finally {
      frames.destroy();
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** From locked memory straight into the frame. */
async function writeRootKeys(frames: FrameWriter, rootKeys: readonly HeldRootKey[], memory: LockedMemory): Promise<void> {
  const all = memory.take(rootKeys.length * (EPOCH_BYTES + KEY_BYTES));
  try {
    rootKeys.forEach(({ epoch, key }, i) => {
      const at = i * (EPOCH_BYTES + KEY_BYTES);
      all.write(epoch, at, 'hex');
      key.read(REVEAL).copy(all, at + EPOCH_BYTES);
    });
    await frames.write(all, false);
  } finally {
    memory.give(all);
  }
}

async function writeDatabase(frames: FrameWriter, path: string, total: number, signal: AbortSignal): Promise<void> {
  const database = await open(path, 'r');
  try {
    const block = Buffer.allocUnsafe(FRAME_BYTES_MAX);
    for (let at = 0; at < total;) {
      signal.throwIfAborted();
      const { bytesRead } = await database.read(block, 0, block.length, at);
      if (bytesRead === 0) throw new Error('the copy of the database became shorter while it was read');
      at += bytesRead;
      await frames.write(block.subarray(0, bytesRead), at >= total);
    }
  } finally {
    await database.close();
  }
}

/** Size and SHA-256 of a file. */
export async function measure(path: string): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const file = await open(path, 'r');
  try {
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(FRAME_BYTES_MAX);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await file.read(block, 0, block.length, bytes);
      if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
      hash.update(block.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await file.close();
  }
}
