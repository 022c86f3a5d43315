import type { PackedKeyIndex } from '../../core/key/key-index.ts';
import { createKeyIndex, namesIn } from '../../core/key/key-index.ts';

/** What was seen of the keys in consecutive entries; small enough to send between threads. */
export interface PackedKeyRuns {
  readonly keys: PackedKeyIndex;
  /** `WIDTH` for each key. */
  readonly numbers: Float64Array<ArrayBuffer>;
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
  /** Goes on behind these with what was seen there. */
  absorb(later: PackedKeyRuns, report: (index: number, what: string) => void): void;
}

/**
 * For each key: its first index, first and last `key_seq`, and the gaps there were before it was first and last seen.
 * Flat numbers take a fraction of the memory of objects, and there may be a million keys.
 */
const WIDTH = 5;
const FIRST_SEQ = 1;
const LAST_SEQ = 2;
const FIRST_GAPS = 3;
const LAST_GAPS = 4;
const KEYS_AT_FIRST = 1024;

/** `isFromStart`: all entries before are known too, so that a key that was not seen yet begins here. */
export function createKeyRuns({ isFromStart }: { readonly isFromStart: boolean }): KeyRuns {
  let keys = createKeyIndex();
  let numbers = new Float64Array(KEYS_AT_FIRST * WIDTH);
  let gaps = 0;

  const at = (slot: number, column: number): number => numbers[slot + column] ?? 0;

  const add = (base: string): number => {
    const slot = keys.size() * WIDTH;
    if (slot === numbers.length) numbers = new Float64Array(numbers.buffer.transfer(2 * numbers.byteLength));
    return keys.add(base) * WIDTH;
  };

  const slotOf = (base: string): number | undefined => {
    const key = keys.find(base);
    return key === undefined ? undefined : key * WIDTH;
  };

  /** What there is first becomes these, and takes their memory: of a million keys there is never a second copy. */
  const begin = (later: PackedKeyRuns, report: (index: number, what: string) => void): void => {
    keys = createKeyIndex(later.keys);
    numbers = later.numbers;
    for (let key = 0; key < keys.size(); key++) {
      const slot = key * WIDTH;
      const wrong = wrongStep(0, at(slot, FIRST_SEQ), gaps + at(slot, FIRST_GAPS) > 0);
      if (wrong !== undefined) report(at(slot, 0), `${wrong} (${keys.nameOf(key)})`);
      numbers[slot + FIRST_GAPS] = gaps + at(slot, FIRST_GAPS);
      numbers[slot + LAST_GAPS] = gaps + at(slot, LAST_GAPS);
    }
  };

  const goOn = (later: PackedKeyRuns, report: (index: number, what: string) => void): void => {
    let place = 0;
    for (const base of namesIn(later.keys)) {
      const its = later.numbers.subarray(place * WIDTH, ++place * WIDTH);
      const [firstIndex = 0, firstSeq = 0, lastSeq = 0, firstGaps = 0, lastGaps = 0] = its;
      const slot = slotOf(base);
      const hasGap = firstGaps > 0 || gaps > (slot === undefined ? 0 : at(slot, LAST_GAPS));
      const wrong = wrongStep(slot === undefined ? 0 : at(slot, LAST_SEQ), firstSeq, hasGap);
      if (wrong !== undefined) report(firstIndex, `${wrong} (${base})`);
      const target = slot ?? add(base);
      if (slot === undefined) numbers.set([firstIndex, firstSeq, 0, gaps + firstGaps], target);
      numbers[target + LAST_SEQ] = lastSeq;
      numbers[target + LAST_GAPS] = gaps + lastGaps;
    }
  };

  return {
    see(index, kid, keySeq) {
      const base = baseOf(kid);
      const slot = slotOf(base);
      if (slot === undefined) {
        const fresh = add(base);
        numbers.set([index, keySeq, keySeq, gaps, gaps], fresh);
        const wrong = isFromStart ? wrongStep(0, keySeq, gaps > 0) : undefined;
        return wrong && `${wrong} (${base})`;
      }
      const wrong = wrongStep(at(slot, LAST_SEQ), keySeq, gaps > at(slot, LAST_GAPS));
      numbers[slot + LAST_SEQ] = keySeq;
      numbers[slot + LAST_GAPS] = gaps;
      return wrong && `${wrong} (${base})`;
    },
    skip() {
      gaps++;
    },
    pack() {
      const used = keys.size() * WIDTH * numbers.BYTES_PER_ELEMENT;
      return { keys: keys.pack(), numbers: new Float64Array(numbers.buffer.transfer(used)), gaps };
    },
    absorb(later, report) {
      if (keys.size() === 0 && later.numbers.length > 0) begin(later, report);
      else goOn(later, report);
      gaps += later.gaps;
    },
  };
}

function wrongStep(last: number, next: number, hasGap: boolean): string | undefined {
  if (next === last + 1 || (hasGap && next > last)) return undefined;
  return last === 0 ? `has key_seq ${next} where its key begins with 1` : `has key_seq ${next} after ${last}`;
}

function baseOf(kid: string): string {
  const hash = kid.lastIndexOf('#');
  return hash < 0 ? kid : kid.slice(0, hash);
}
