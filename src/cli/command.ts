import type { ParseArgsOptionsConfig } from 'node:util';

/** The process as a command sees it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly isTerminal: boolean;
  /** Whether somebody watches standard error: progress is for them only. */
  readonly isErrTerminal: boolean;
  /** Standard output: answers, and nothing else. */
  out(text: string): void;
  /** Standard error: progress, hints, faults. */
  err(text: string): void;
  /** Standard input as it comes, for what may be larger than memory. */
  stdin(): AsyncIterable<Uint8Array>;
}

export interface Parsed {
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly args: readonly string[];
}

/** One row of the command table: help is printed from it. */
export interface Command {
  /** As it is typed: `keys create`. */
  readonly name: string;
  /** What stands behind the name: `<kid>`, `[<token>|-]`; how many may stand there is read off it. */
  readonly args?: string;
  readonly summary: string;
  /** A line that works, without the program's name. */
  readonly example: string;
  readonly options: ParseArgsOptionsConfig;
  /** What each option is for, by its name. */
  readonly about: Readonly<Record<string, string>>;
  /** Gives the exit code. */
  run(parsed: Parsed, io: Io): Promise<number>;
}

/** The commands that begin with one word, loaded once it is typed: `token inspect` does not wait for a server's code. */
export interface CommandGroup {
  readonly word: string;
  load(): Promise<readonly Command[]>;
}

/** A command line that cannot be understood; the message says what to type instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
