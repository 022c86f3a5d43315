import { LAST_NONCE } from '../../ports/key-store.ts';

/** How far beyond the last nonce a caller may jump (DESIGN §3). */
const NONCE_JUMP_MAX = 2n ** 32n;
/** Set aside at once: a crash skips at most so many. */
const BLOCK = 2n ** 16n;
/** AEAD versions whose counters stay in memory; one that goes skips what it had left. */
const COUNTERS_MAX = 100_000;

interface Counter {
  last: bigint;
  /** Up to here they are set aside on disk. */
  end: bigint;
}

/** Counters of AEAD versions within what is set aside for them durably. */
export interface NonceCounters {
  take(kid: string, asked: bigint | undefined): bigint | 'reserve' | undefined;
  isSpent(kid: string): boolean;
  /** How far to set aside, so that the asked one, or the next, is among them. */
  endFor(kid: string, asked: bigint | undefined): bigint;
  /** Set aside on disk by now. */
  extend(kid: string, end: bigint): void;
}

/** `reservedEnd` is what is on disk; undefined when nothing is. After a start all of it counts as used. */
export function createNonceCounters(reservedEnd: (kid: string) => bigint | undefined): NonceCounters {
  const counters = new Map<string, Counter>();

  const counterOf = (kid: string): Counter => {
    const known = counters.get(kid);
    if (known !== undefined) return known;
    const end = reservedEnd(kid) ?? 0n;
    const counter = { last: end, end };
    counters.set(kid, counter);
    if (counters.size > COUNTERS_MAX) {
      const [oldest] = counters.keys();
      if (oldest !== undefined && oldest !== kid) counters.delete(oldest);
    }
    return counter;
  };

  return {
    take(kid, asked) {
      const counter = counterOf(kid);
      const next = asked ?? counter.last + 1n;
      if (next <= counter.last || next - counter.last > NONCE_JUMP_MAX || next > LAST_NONCE) return undefined;
      if (next > counter.end) return 'reserve';
      counter.last = next;
      return next;
    },
    isSpent: (kid) => counterOf(kid).last === LAST_NONCE,
    endFor(kid, asked) {
      const { last, end } = counterOf(kid);
      const from = asked !== undefined && asked > end ? asked : (last > end ? last : end);
      const wanted = from + BLOCK;
      return wanted > LAST_NONCE ? LAST_NONCE : wanted;
    },
    extend(kid, end) {
      const counter = counterOf(kid);
      if (end > counter.end) counter.end = end;
      // All of them were set aside, so that none is given any more.
      if (end === LAST_NONCE) counter.last = end;
    },
  };
}
