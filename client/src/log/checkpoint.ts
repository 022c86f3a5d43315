import { HASH_BYTES } from './hash.ts';
import { isShort, readBase64, readDecimal } from './strict-text.ts';

/** A tree head: which log, how many entries, and the root over them. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly rootHash: Buffer;
}

/** C2SP tlog-checkpoint: three lines. None follows: what stood there the ML-DSA signature would not cover. */
export function formatCheckpoint({ origin, size, rootHash }: Checkpoint): string {
  return `${origin}\n${size}\n${rootHash.toString('base64')}\n`;
}

/** The text of a note as a checkpoint; undefined when it is none, or has a fourth line. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const [origin = '', sizeText = '', rootText = '', end, ...more] = text.split('\n');
  const size = readDecimal(sizeText);
  const rootHash = readBase64(rootText);
  if (!isShort(origin) || end !== '' || more.length > 0 || size === undefined || rootHash?.length !== HASH_BYTES) return undefined;
  return { origin, size, rootHash };
}
