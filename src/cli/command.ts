import type { ParseArgsOptionsConfig } from 'node:util';

/** The process as a command sees it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly isTerminal: boolean;
  /** Standard output: answers, and nothing else. */
  out(text: string): void;
  /** Standard error: progress, hints, faults. */
  err(text: string): void;
  stdin(): Promise<Buffer>;
}

export interface Parsed {
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly args: readonly string[];
}

/** One row of the command table: help is printed from it. */
export interface Command {
  /** As it is typed: `keys create`. */
  readonly name: string;
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

/** A command line that cannot be understood; the message says what to type instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
