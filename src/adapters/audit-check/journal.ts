import type { LogFault } from './faults.ts';
import type { LogFiles } from './log-files.ts';
import { findFlushedFrame, readFrame } from '../audit-file/frame.ts';

/** The entries that the journal holds, in a row from `firstIndex` on. */
export interface Journal {
  readonly firstIndex: number;
  readonly entries: readonly Buffer[];
  readonly faults: readonly LogFault[];
}

/** Reads `journal/`: undefined when there is none. It is sealed away when it is large, so it is read whole. */
export function readJournal(files: LogFiles): Journal | undefined {
  const names = files.names('journal').filter((name) => /^\d{16}$/.test(name)).toSorted();
  if (names.length === 0) return undefined;
  const faults: LogFault[] = [];
  const entries: Buffer[] = [];
  const firstIndex = Number(names[0]);

  for (const [place, name] of names.entries()) {
    const file = `journal/${name}`;
    const report = (what: string): void => { faults.push({ kind: 'journal', file, what }); };
    const next = firstIndex + entries.length;
    if (Number(name) !== next) {
      report(`begins with entry ${Number(name)}, and the file before it ends in front of ${next}`);
      break;
    }
    // A journal begins anew where a write has failed: what the one before has from there on is void.
    const end = Number(names[place + 1] ?? Number.POSITIVE_INFINITY);
    for (const entry of readFrames(files.bytes(file) ?? Buffer.alloc(0), next, end, report)) entries.push(entry);
  }
  return { firstIndex, entries, faults };
}

/** The entries of one file, up to a write that was cut off: such a write was never answered. */
function* readFrames(bytes: Buffer, firstIndex: number, end: number, report: (what: string) => void): Generator<Buffer> {
  let next = firstIndex;
  for (let at = 0; at < bytes.length && next < end;) {
    const frame = readFrame(bytes, at);
    if (frame === undefined) {
      const later = findFlushedFrame(bytes, at + 1);
      if (later !== undefined) report(`the frame at byte ${at} is damaged, and a good one follows with entry ${later.firstIndex}`);
      return;
    }
    if (frame.firstIndex !== next) {
      report(`the frame at byte ${at} begins with entry ${frame.firstIndex} where ${next} comes next`);
      return;
    }
    const taken = frame.entries.slice(0, end - next);
    yield* taken;
    next += taken.length;
    at = frame.end;
  }
}
