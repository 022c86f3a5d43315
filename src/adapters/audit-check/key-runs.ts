import type { PackedKeyIndex } from '../../core/key/key-index.ts';
import { createKeyIndex, namesIn } from '../../core/key/key-index.ts';

/** What was seen of the keys in consecutive entries; small enough to send between threads. */
export interface PackedKeyRuns {
  readonly isFromStart: boolean;
  readonly keys: PackedKeyIndex;
  /** By the number of a key: its last `key_seq`, and the gaps there were before its last entry, where there were any. */
  readonly lastSeqs: Float64Array<ArrayBuffer>;
  readonly lastGaps: Float64Array<ArrayBuffer>;
  /** Three numbers for each key; none where the entries begin at the start. */
  readonly firsts: Float64Array<ArrayBuffer>;
  /** How often entries were missing. */
  readonly gaps: number;
}

/** Follows `key_seq` of every key: 1, 2, 3 and so on over its versions, without holes. */
export interface KeyRuns {
  /** Takes in the next entry of a key; says what is wrong with its number. */
  see(index: number, kid: string, keySeq: number): string | undefined;
  /** Entries are missing here: any key may have gone on. */
  skip(): void;
  /** Gives its memory away; it is not asked again. */
  pack(): PackedKeyRuns;
  /** Goes on, from the start, behind these with what was seen there. */
  absorb(later: PackedKeyRuns, report: (index: number, what: string) => void): void;
}

/** Flat numbers take a fraction of the memory of objects, and there may be a million keys. */
const KEYS_AT_FIRST = 1024;

/** Of the first entry of a key, where the entries do not begin at the start. */
const FIRST_WIDTH = 3;
const FIRST_SEQ = 0;
const FIRST_GAPS = 1;
const FIRST_INDEX = 2;

/** `isFromStart`: all entries before are known too, so that a key that was not seen yet begins here. */
export function createKeyRuns({ isFromStart }: { readonly isFromStart: boolean }): KeyRuns {
  let keys = createKeyIndex();
  let lastSeqs = new Float64Array(KEYS_AT_FIRST);
  let lastGaps = new Float64Array(0);
  let firsts = new Float64Array(0);
  let gaps = 0;

  const add = (base: string): number => {
    const key = keys.add(base);
    if (key >= lastSeqs.length) lastSeqs = widened(lastSeqs, 2 * lastSeqs.length);
    return key;
  };

  const setLast = (key: number, seq: number, its: number): void => {
    lastSeqs[key] = seq;
    if (its === 0) return;
    if (lastGaps.length < lastSeqs.length) lastGaps = widened(lastGaps, lastSeqs.length);
    lastGaps[key] = its;
  };

  const wrongAt = (key: number | undefined, next: number, hasGap: boolean): string | undefined =>
    (key === undefined ? wrongStep(0, next, hasGap || gaps > 0) : wrongStep(lastSeqs[key] ?? 0, next, hasGap || gaps > (lastGaps[key] ?? 0)));

  return {
    see(index, kid, keySeq) {
      const base = baseOf(kid);
      const key = keys.find(base);
      const wrong = key === undefined && !isFromStart ? undefined : wrongAt(key, keySeq, false);
      const number = key ?? add(base);
      setLast(number, keySeq, gaps);
      if (key === undefined && !isFromStart) {
        if (firsts.length < lastSeqs.length * FIRST_WIDTH) firsts = widened(firsts, lastSeqs.length * FIRST_WIDTH);
        firsts.set([keySeq, gaps, index], number * FIRST_WIDTH);
      }
      return wrong && `${wrong} (${base})`;
    },

    skip() {
      gaps++;
    },

    pack: () => ({ isFromStart, keys: keys.pack(), lastSeqs, lastGaps, firsts, gaps }),

    absorb(later, report) {
      if (later.isFromStart) {
        // There is nothing before it: of a million keys there is never a second copy.
        [keys, lastSeqs, lastGaps, gaps] = [createKeyIndex(later.keys), later.lastSeqs, later.lastGaps, later.gaps];
        return;
      }
      let its = 0;
      for (const base of namesIn(later.keys)) {
        const first = its * FIRST_WIDTH;
        const key = keys.find(base);
        const wrong = wrongAt(key, later.firsts[first + FIRST_SEQ] ?? 0, (later.firsts[first + FIRST_GAPS] ?? 0) > 0);
        if (wrong !== undefined) report(later.firsts[first + FIRST_INDEX] ?? 0, `${wrong} (${base})`);
        setLast(key ?? add(base), later.lastSeqs[its] ?? 0, gaps + (later.lastGaps[its] ?? 0));
        its++;
      }
      gaps += later.gaps;
    },
  };
}

function widened(numbers: Float64Array<ArrayBuffer>, length: number): Float64Array<ArrayBuffer> {
  return new Float64Array(numbers.buffer.transfer(length * numbers.BYTES_PER_ELEMENT));
}

function wrongStep(last: number, next: number, hasGap: boolean): string | undefined {
  if (next === last + 1 || (hasGap && next > last)) return undefined;
  return last === 0 ? `has key_seq ${next} where its key begins with 1` : `has key_seq ${next} after ${last}`;
}

function baseOf(kid: string): string {
  const hash = kid.lastIndexOf('#');
  return hash < 0 ? kid : kid.slice(0, hash);
}
