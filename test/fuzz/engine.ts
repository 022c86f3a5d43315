import { watchCoverage } from './coverage.ts';

/** Something that reads bytes from outside. */
export interface FuzzTarget {
  readonly name: string;
  /** What is right, and nearly: where the search begins. */
  readonly seeds: readonly Buffer[];
  /** Words that it may look for. */
  readonly words?: readonly string[];
  /** Changes that keep the shape of what it reads; most of all, where there are any. */
  readonly edits?: readonly Edit[];
  /** How many turns of the time it gets, where others get one. */
  readonly share?: number;
  /** Throws where a promise is broken: a fault of another kind than its own, two spellings for one thing. */
  run(input: Buffer): unknown;
  /** Lets go of what it has open; the next run opens it anew. */
  end?(): Promise<void>;
}

export interface FuzzResult {
  readonly runs: number;
  /** Of our code that was gone through. */
  readonly characters: number;
  /** Inputs that each went where none had gone. */
  readonly corpus: readonly Buffer[];
  readonly failure?: { readonly input: Buffer; readonly fault: unknown };
}

export interface FuzzOptions {
  readonly ms: number;
  /** The same one gives the same inputs as long as the code is the same. */
  readonly seed: number;
  /** Found before. */
  readonly corpus?: readonly Buffer[];
}

const INPUT_BYTES_MAX = 16 * 1024;
/** Looking at what was covered costs more than most runs. */
const RUNS_PER_LOOK = 16;
const EDITS_MAX = 6;
const SHAPED_EDITS_MAX = 3;
const LATEST = 12;
const NUMBERS = [0, 1, 0x7f, 0x80, 0xff] as const;

/** Changes inputs, keeps those that reach code which none had reached, and changes these again: until the time is over, or a promise is broken. */
export async function fuzz(target: FuzzTarget, { ms, seed, corpus: before = [] }: FuzzOptions): Promise<FuzzResult> {
  const random = createRandom(seed);
  const endsAt = performance.now() + ms;
  const coverage = watchCoverage();
  const corpus: Buffer[] = [];
  let runs = 0;
  const found: { failure?: NonNullable<FuzzResult['failure']> } = {};

  const runOne = async (input: Buffer): Promise<void> => {
    runs++;
    try {
      // It may change what it is given.
      await target.run(Buffer.from(input));
    } catch (fault) {
      found.failure ??= { input, fault };
    }
  };

  try {
    for (const input of [...target.seeds, ...before]) {
      await runOne(input);
      if (coverage.addsToKept()) corpus.push(input);
      if (found.failure !== undefined) return { runs, characters: coverage.characters(), corpus, failure: found.failure };
    }
    if (corpus.length === 0) corpus.push(Buffer.alloc(0));
    while (performance.now() < endsAt && found.failure === undefined) {
      const some = Array.from({ length: RUNS_PER_LOOK }, () => mutate(corpus, target, random));
      for (const input of some) await runOne(input);
      if (!coverage.isNew()) continue;
      // One of them, or several: each is asked again, alone.
      for (const input of some) {
        await runOne(input);
        if (coverage.addsToKept()) corpus.push(input);
      }
    }
    return { runs, characters: coverage.characters(), corpus, ...found };
  } finally {
    await target.end?.();
  }
}

/** Those of the inputs that reach what neither the seeds nor any shorter one reaches. */
export async function minimise(target: FuzzTarget, inputs: readonly Buffer[]): Promise<readonly Buffer[]> {
  const coverage = watchCoverage();
  const kept: Buffer[] = [];
  try {
    for (const input of target.seeds) await target.run(Buffer.from(input));
    coverage.addsToKept();
    for (const input of inputs.toSorted((a, b) => a.length - b.length || Buffer.compare(a, b))) {
      await target.run(Buffer.from(input));
      if (coverage.addsToKept()) kept.push(input);
    }
    return kept;
  } finally {
    await target.end?.();
  }
}

export interface Random {
  below(limit: number): number;
  oneOf<T>(values: readonly T[]): T;
}

/** xorshift32: the same numbers for the same seed, on every machine. */
function createRandom(seed: number): Random {
  let state = seed | 1;
  const below = (limit: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
  return { below, oneOf: (values) => values[below(values.length)] as never };
}

export type Edit = (input: Buffer, random: Random, corpus: readonly Buffer[], words: readonly string[]) => Buffer;

const edits: readonly Edit[] = [
  (input, { below }) => set(input, below, (byte) => byte ^ (1 << below(8))),
  (input, { below }) => set(input, below, () => below(256)),
  (input, random) => set(input, random.below, () => random.oneOf(NUMBERS)),
  (input, { below }) => set(input, below, (byte) => byte + below(17) - 8),
  (input, { below }) => {
    const [at, length] = [below(input.length + 1), 1 + below(8)];
    return Buffer.concat([input.subarray(0, at), input.subarray(at + length)]);
  },
  (input, { below }) => insert(input, below, Buffer.from(Array.from({ length: 1 + below(8) }, () => below(256)))),
  (input, { below }) => {
    const from = below(input.length + 1);
    return insert(input, below, input.subarray(from, from + 1 + below(32)));
  },
  (input, { below, oneOf }, corpus) => {
    const other = oneOf(corpus);
    return Buffer.concat([input.subarray(0, below(input.length + 1)), other.subarray(below(other.length + 1))]);
  },
  (input, { below, oneOf }, _corpus, words) => (words.length === 0 ? input : insert(input, below, Buffer.from(oneOf(words)))),
];

function set(input: Buffer, below: Random['below'], change: (byte: number) => number): Buffer {
  if (input.length === 0) return input;
  const changed = Buffer.from(input);
  const at = below(changed.length);
  changed[at] = change(changed[at] ?? 0);
  return changed;
}

function insert(input: Buffer, below: Random['below'], what: Uint8Array): Buffer {
  const at = below(input.length + 1);
  return Buffer.concat([input.subarray(0, at), what, input.subarray(at)]);
}

function mutate(corpus: readonly Buffer[], { words = [], edits: shaped = [] }: FuzzTarget, random: Random): Buffer {
  // What was found last leads on more often than what has been changed many times.
  let input = random.oneOf(random.below(2) === 0 ? corpus : corpus.slice(-LATEST));
  const isShaped = shaped.length > 0 && random.below(4) > 0;
  const some = isShaped ? shaped : edits;
  for (let left = 1 + random.below(isShaped ? SHAPED_EDITS_MAX : EDITS_MAX); left > 0; left--) input = random.oneOf(some)(input, random, corpus, words);
  return input.subarray(0, INPUT_BYTES_MAX);
}
