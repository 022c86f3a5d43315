/**
 * What code was gone through, by V8's own counters of blocks. A function that was compiled while nobody counted has none for
 * as long as it lives, nor has any behind the end of a count: so this begins when it is loaded, before what is to be counted, and never ends.
 */
import type { Profiler } from 'node:inspector';
import { Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

const OURS = /\/(src|client\/src)\/[^?]*\.ts$|\/test\/fuzz\/(planted|targets)\.ts$/;

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

export interface Coverage {
  /** Whether code was gone through since the last look that never was before. */
  isNew(): boolean;
  /** The same, against what inputs that were kept have reached. */
  addsToKept(): boolean;
  characters(): number;
}

/** Of each function, by where it stands, the characters that were gone through. */
type Covered = Map<string, Uint8Array>;

function addTo(all: Covered, some: Covered): boolean {
  let isMore = false;
  for (const [at, characters] of some) {
    const before = all.get(at);
    if (before === undefined) {
      all.set(at, Uint8Array.from(characters));
      isMore = true;
      continue;
    }
    // By hand, as this is gone through for each character of all that ran.
    for (let i = 0; i < characters.length; i++) {
      if (characters[i] === 0 || before[i] === 1) continue;
      before[i] = 1;
      isMore = true;
    }
  }
  return isMore;
}

export function watchCoverage(): Coverage {
  const seen: Covered = new Map();
  const kept: Covered = new Map();
  // What ran before is nobody's.
  look();
  return {
    isNew: () => addTo(seen, look()),
    addsToKept() {
      const covered = look();
      addTo(seen, covered);
      return addTo(kept, covered);
    },
    characters: () => [...seen.values()].reduce((sum, characters) => sum + characters.reduce((all, one) => all + one, 0), 0),
  };
}

/** What was gone through since the last look. */
function look(): Covered {
  const covered: Covered = new Map();
  // In this thread it is answered at once.
  session.post('Profiler.takePreciseCoverage', (fault, answer) => {
    if (fault !== null) throw fault;
    for (const { scriptId, url, functions } of answer.result) if (url.startsWith('file:') && OURS.test(fileURLToPath(url))) note(scriptId, functions);
  });
  return covered;

  function note(scriptId: string, functions: readonly Profiler.FunctionCoverage[]): void {
    for (const { ranges } of functions) {
      const [whole] = ranges;
      if (whole === undefined || whole.count === 0) continue;
      const characters = new Uint8Array(whole.endOffset - whole.startOffset);
      // Ranges stand inside one another; of what ran as often as what is around it none is told.
      for (const { startOffset, endOffset, count } of ranges) characters.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
      covered.set(`${scriptId}:${whole.startOffset}`, characters);
    }
  }
}
