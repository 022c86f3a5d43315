import type { Command, Io } from './command.ts';
import { parseArgs } from 'node:util';
import { EXIT } from './exit-codes.ts';
import { describeFault } from './faults.ts';
import { helpFor, overview } from './help.ts';

/** Finds the command that the arguments begin with, parses the rest for it, and runs it. Gives the exit code. */
export async function run(argv: readonly string[], commands: readonly Command[], io: Io): Promise<number> {
  const asksHelp = argv.length === 0 || argv[0] === 'help' || argv.includes('--help') || argv.includes('-h');
  const words = (argv[0] === 'help' ? argv.slice(1) : argv).filter((word) => !word.startsWith('-'));
  const command = commands.find(({ name }) => name === words.slice(0, name.split(' ').length).join(' '));
  if (asksHelp) {
    io.out(command === undefined ? overview(commands, words[0]) : helpFor(command));
    return EXIT.ok;
  }
  if (command === undefined) {
    io.err(`ron-kms: there is no command ${JSON.stringify(words.slice(0, 2).join(' '))}\n\n${overview(commands, words[0])}`);
    return EXIT.usage;
  }
  try {
    const { values, positionals } = parseArgs({ args: dropWords(argv, command.name), options: command.options, allowPositionals: true, strict: true });
    return await command.run({ flags: values as never, args: positionals }, io);
  } catch (fault) {
    const { text, exitCode } = describeFault(fault);
    io.err(`ron-kms: ${text}\n`);
    if (exitCode === EXIT.usage) io.err(`ron-kms help ${command.name} shows how it is used\n`);
    return exitCode;
  }
}

/** The arguments without the words of the command's name, wherever flags stand between them. */
function dropWords(argv: readonly string[], name: string): string[] {
  const rest = [...argv];
  for (const word of name.split(' ')) rest.splice(rest.indexOf(word), 1);
  return rest;
}

