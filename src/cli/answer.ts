import type { Io, Parsed } from './command.ts';
import { isOn } from './flags.ts';

/** Prints an answer: as the API gave it under `--json`, else in words. */
export function print(parsed: Parsed, io: Io, answer: object, inWords: () => string): void {
  io.out(isOn(parsed, 'json') ? `${JSON.stringify(answer)}\n` : `${inWords()}\n`);
}

/** A remark on standard error, for people: under `--json` a fault is alone there. */
export function remark(parsed: Parsed, io: Io, text: string): void {
  if (!isOn(parsed, 'json')) io.err(`ron-kms: ${text}\n`);
}
