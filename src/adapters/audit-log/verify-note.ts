import type { Checkpoint } from '../../../client/src/log/checkpoint.ts';
import type { LogSigner } from '../../ports/log-signer.ts';
import { parseCheckpoint } from '../../../client/src/log/checkpoint.ts';
import { parseNote } from '../../../client/src/log/note.ts';
import { verifyCheckpointNote } from '../../../client/src/log/verify-note.ts';
import { parseVkey } from '../../../client/src/log/vkey.ts';

/** Our own checkpoint, by the keys that may sign for a log of its size; or why it is none. */
export function verifyNote(note: string, { origin, keys }: Pick<LogSigner, 'origin' | 'keys'>): Checkpoint | { readonly fault: string } {
  const stated = parseCheckpoint(parseNote(note)?.text ?? '');
  if (stated === undefined) return { fault: 'it is not a checkpoint' };
  if (stated.origin !== origin) return { fault: `it is of another log, ${stated.origin}` };
  const vkeys = keys()
    .filter(({ untilIndex }) => untilIndex === undefined || stated.size <= untilIndex)
    .map(({ vkey }) => parseVkey(vkey))
    .filter((vkey) => vkey !== undefined);
  const verified = verifyCheckpointNote(note, vkeys);
  return 'fault' in verified ? { fault: verified.fault } : verified.checkpoint;
}
