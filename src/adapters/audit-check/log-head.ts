import type { Checkpoint } from '../../../client/src/log/checkpoint.ts';
import type { Journal } from './journal.ts';
import type { LogFault } from './faults.ts';
import type { LogFiles } from './log-files.ts';
import { parseCheckpoint } from '../../../client/src/log/checkpoint.ts';
import { parseNote } from '../../../client/src/log/note.ts';
import { TILE_WIDTH } from '../../core/log/tiles.ts';
import { readJournal } from './journal.ts';

/** Where a log ends, as its files say: what is believed of it is for others to find out. */
export interface LogHead {
  readonly note: string;
  readonly checkpoint: Checkpoint;
  readonly journal: Journal | undefined;
  /** Entries below were pruned, and are not in the archive; a multiple of the width of a bundle. */
  readonly minimumIndex: number;
}

/** A log that is being written may replace its checkpoint and its journal between the two reads. */
const ATTEMPTS = 5;

/** Reads checkpoint, journal and identity; undefined when there is no checkpoint to check anything against. */
export function readLogHead(files: LogFiles, report: (fault: LogFault) => void): LogHead | undefined {
  let note = files.bytes('checkpoint')?.toString('utf8');
  let journal = readJournal(files);
  for (let attempt = 1; attempt < ATTEMPTS; attempt++) {
    const later = files.bytes('checkpoint')?.toString('utf8');
    if (later === note && (journal?.faults.length ?? 0) === 0) break;
    note = later;
    journal = readJournal(files);
  }
  const checkpoint = parseCheckpoint(parseNote(note ?? '')?.text ?? '');
  if (note === undefined || checkpoint === undefined) {
    report({ kind: 'checkpoint', file: 'checkpoint', what: note === undefined ? 'is missing' : 'is not a signed checkpoint' });
    return undefined;
  }
  for (const fault of journal?.faults ?? []) report(fault);
  requireIdentity(files, checkpoint.origin, report);
  return { note, checkpoint, journal, minimumIndex: archivedFrom(files, readMinimumIndex(files, checkpoint.size, report)) };
}

/** Nothing but the origin is looked at: the rest of the file nobody signs. */
function requireIdentity(files: LogFiles, origin: string, report: (fault: LogFault) => void): void {
  const file = 'identity.json';
  const text = files.bytes(file)?.toString('utf8') ?? '';
  let named: unknown;
  try {
    named = (JSON.parse(text) as { readonly origin?: unknown } | null)?.origin;
  } catch {
    // Said below.
  }
  if (typeof named !== 'string' || !text.endsWith('\n')) report({ kind: 'instance', file, what: 'is missing or damaged' });
  else if (named !== origin) report({ kind: 'instance', file, what: `is of ${named}, and the checkpoint is of ${origin}` });
}

/** Whole without a gap up to where the log goes on: only then do intents and counts meet. */
function archivedFrom({ isArchived }: LogFiles, minimumIndex: number): number {
  let bundle = minimumIndex / TILE_WIDTH;
  while (bundle > 0 && isArchived(bundle - 1)) bundle--;
  return bundle * TILE_WIDTH;
}

function readMinimumIndex(files: LogFiles, size: number, report: (fault: LogFault) => void): number {
  const file = 'minimum-index';
  const text = files.bytes(file)?.toString('utf8');
  if (text === undefined) return 0;
  const value = /^(0|[1-9]\d{0,14})\n$/.test(text) ? Number(text) : Number.NaN;
  if (value <= size && value % TILE_WIDTH === 0) return value;
  report({ kind: 'missing', file, what: 'does not name an entry of this log with which a bundle begins' });
  return 0;
}
