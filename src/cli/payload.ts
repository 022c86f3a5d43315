import type { Io, Parsed } from './command.ts';
import { UsageError } from './command.ts';
import { chunksOf, nameOf, sizeOf } from './files.ts';
import { oneOf } from './flags.ts';
import { startProgress, whileWaiting } from './progress.ts';

/** What is to be signed or verified, read once. */
export interface Payload {
  readonly digestHex: string;
  /** The bytes themselves, while they are few enough to be sent. */
  readonly bytes: Buffer | undefined;
}

/** More than any service takes in a body; a `raw` key cannot sign what is larger. */
const KEPT_BYTES_MAX = 8 * 1024 ** 2;
const WAITING = 'waiting for the service';

/** Reads a file, or standard input for `-`, in one pass and flat memory. */
export async function readPayload(path: string, io: Io): Promise<Payload> {
  const { Blake3Hasher } = await import('@napi-rs/blake-hash');
  const hasher = new Blake3Hasher();
  const progress = startProgress(io, `hashing ${nameOf(path)}`, path === '-' ? undefined : await sizeOf(path, io));
  let kept: Uint8Array[] | undefined = [];
  let keptBytes = 0;
  try {
    for await (const chunk of path === '-' ? io.stdin() : chunksOf(path, io)) {
      hasher.update(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      progress.advance(chunk.length);
      keptBytes += chunk.length;
      if (keptBytes > KEPT_BYTES_MAX) kept = undefined;
      kept?.push(Uint8Array.from(chunk));
    }
  } finally {
    progress.end();
  }
  return { digestHex: hasher.digest('hex'), bytes: kept && Buffer.concat(kept) };
}

export const inputOption = { input: { type: 'string' } } as const;
export const inputAbout = { input: 'how the key was made: b3 sends the digest, raw the payload; left out, the digest is tried first' } as const;

type Fields = { payload_b3: string } | { payload_b64: string };

/**
 * Calls with the digest, and with the payload when the key turns out not to take digests: whether it does cannot be
 * asked, since a token that signs need not be one that reads.
 */
export async function withPayload<T>(parsed: Parsed, io: Io, { digestHex, bytes }: Payload, call: (fields: Fields) => Promise<T>): Promise<T> {
  const input = oneOf(parsed, 'input', ['b3', 'raw']);
  const sendPayload = (): Promise<T> => {
    if (bytes === undefined) throw new UsageError('a key with input raw takes the payload itself, and this one is over 8 MiB: use a key with input b3');
    return whileWaiting(io, WAITING, call({ payload_b64: bytes.toString('base64') }));
  };
  if (input === 'raw') return sendPayload();
  try {
    return await whileWaiting(io, WAITING, call({ payload_b3: digestHex }));
  } catch (fault) {
    if (input === undefined && bytes !== undefined && isUnsupported(fault)) return sendPayload();
    throw fault;
  }
}

function isUnsupported(fault: unknown): boolean {
  return fault instanceof Error && 'code' in fault && fault.code === 'Unsupported';
}
