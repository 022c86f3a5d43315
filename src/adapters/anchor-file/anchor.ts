import type { FileHandle } from 'node:fs/promises';
import type { Anchor } from '../../ports/anchor.ts';
import type { AnchorRecord, Mac } from './record.ts';
import { open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KmsError } from '../../core/errors.ts';
import { isMissing } from '../audit-file/file-layer.ts';
import { flushDirectory, replaceDurably } from '../files/durable-file.ts';
import { encodeAnchorRecord, faultOfStep, parseAnchorRecord } from './record.ts';

export interface FileAnchorDeps {
  /** `audit.anchor_path`, on another medium than the log; its directory has to be there. */
  readonly path: string;
  /** Of the log: the file of another one is refused. */
  readonly origin: string;
  readonly mac: Mac;
}

type Reading = AnchorRecord | { readonly fault: string } | undefined;

const FILE_MAX_BYTES = 4096;

/** A counter and the log's head in a small file on another medium (docs/formats/anchor.md). */
export function createFileAnchor({ path, origin, mac }: FileAnchorDeps): Anchor {
  const read = async (): Promise<Reading> => {
    const bytes = await readDurably(path);
    if (bytes === undefined) return undefined;
    const record = parseAnchorRecord(bytes, origin, mac);
    if (record === undefined) return { fault: `the anchor file ${path} is damaged, or was not written by this service` };
    return 'otherOrigin' in record ? { fault: `the anchor file ${path} is of another log, ${record.otherOrigin}; this one is ${origin}` } : record;
  };

  return {
    kind: 'file',
    read: () => reaching(read),
    advance: (value, { treeSize, rootHash }) =>
      reaching(async () => {
        const held = await read();
        if (held !== undefined && 'fault' in held) return held;
        const fault = faultOfStep(held, value, treeSize, 'the anchor file');
        if (fault !== undefined) return { fault };
        await replaceDurably(path, encodeAnchorRecord({ origin, value, head: { treeSize, rootHash } }, mac));
        return {};
      }),
  };
}

/**
 * What a failed advance left may be only in the kernel's memory: it is flushed before it is believed, or a
 * power failure could still take it back after the next entry was built on it.
 */
async function readDurably(path: string): Promise<Buffer | undefined> {
  const file = await openIfThere(path);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(FILE_MAX_BYTES);
    const { bytesRead } = await file.read(bytes, 0, FILE_MAX_BYTES, 0);
    await file.sync();
    await flushDirectory(dirname(path));
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** A missing file was never written; a missing directory is a medium that is not mounted, and says nothing. */
async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (fault) {
    if (!isMissing(fault)) throw fault;
    await stat(dirname(path));
    return undefined;
  }
}

async function reaching<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new KmsError('AuditUnavailable', { hint: 'the anchor cannot be reached', cause });
  }
}
