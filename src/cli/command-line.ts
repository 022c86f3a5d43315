/** From arguments to a command and its flags. What is wrong with them is said without repeating a value: it may be a token. */
import type { ParseArgsOptionsConfig } from 'node:util';
import type { Command, CommandGroup, Parsed } from './command.ts';
import { parseArgs } from 'node:util';
import { UsageError } from './command.ts';

export interface Found {
  /** The commands of the group whose word was typed. */
  readonly group: readonly Command[];
  /** Undefined when the group has no command of these words. */
  readonly command: Command | undefined;
  /** The arguments without the words of the command. */
  readonly rest: readonly string[];
}

/** The command that the plain words begin with, wherever flags and their values stand between them. */
export async function findCommand(argv: readonly string[], groups: readonly CommandGroup[]): Promise<Found | undefined> {
  for (const [at, word] of argv.entries()) {
    const commands = await groups.find((group) => group.word === word)?.load();
    if (commands === undefined) continue;
    const words = plainWords(argv, Object.assign({}, ...commands.map(({ options }) => options)) as ParseArgsOptionsConfig);
    // A flag's value may be spelled like a command: only the first plain word begins one.
    if (words[0]?.index !== at) continue;
    const longestFirst = commands.toSorted((one, other) => other.name.split(' ').length - one.name.split(' ').length);
    const command = longestFirst.find(({ name }) => name === words.slice(0, name.split(' ').length).map(({ value }) => value).join(' '));
    const taken = new Set(words.slice(0, command?.name.split(' ').length ?? 1).map(({ index }) => index));
    return { group: commands, command, rest: argv.filter((_, index) => !taken.has(index)) };
  }
  return undefined;
}

/** The flags and arguments of a command; throws `UsageError` on what it does not take. Of a flag given twice the last one counts, so that a script's flags can be overridden. */
export function parseFor({ name, options, args: argsText = '' }: Command, rest: readonly string[]): Parsed {
  const { values, positionals, tokens } = parseArgs({ args: [...rest], options, allowPositionals: true, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) throw new UsageError(`${name} has no flag ${token.rawName}${suggestion(token.name, Object.keys(options))}`);
    const startsLikeFlag = token.value !== undefined && !token.inlineValue && token.value.length > 1 && token.value.startsWith('-');
    if (option.type === 'string' && (token.value === undefined || startsLikeFlag)) throw new UsageError(`${token.rawName} needs a value; one that begins with a dash is written ${token.rawName}=<value>`);
    if (option.type === 'boolean' && token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
  }
  requireArgs(name, argsText, positionals.length);
  return { flags: values, args: positionals };
}

function requireArgs(name: string, argsText: string, given: number): void {
  const all = argsText.split(' ').filter((text) => text !== '');
  const needed = all.filter((text) => !text.startsWith('['));
  if (given < needed.length) throw new UsageError(`${name} needs ${needed.slice(given).join(' ')}`);
  if (given > all.length && !argsText.includes('...')) throw new UsageError(all.length === 0 ? `${name} takes flags only` : `${name} takes ${argsText} and nothing more`);
}

function plainWords(argv: readonly string[], options: ParseArgsOptionsConfig): readonly { readonly index: number; readonly value: string }[] {
  const { tokens } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: false, tokens: true });
  return tokens.filter((token) => token.kind === 'positional');
}

function suggestion(wrong: string, known: readonly string[]): string {
  const near = known.find((name) => distance(wrong, name) <= Math.max(1, Math.floor(name.length / 4)));
  return near === undefined ? '' : `; --${near} perhaps?`;
}

/** Levenshtein's distance, a row at a time. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, x] of a.split('').entries()) {
    const next = [i + 1];
    for (const [j, y] of b.split('').entries()) next.push(Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, (row[j] ?? 0) + (x === y ? 0 : 1)));
    row = next;
  }
  return row.at(-1) ?? 0;
}
