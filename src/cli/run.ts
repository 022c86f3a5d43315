import type { Command, CommandGroup, Io } from './command.ts';
import { findCommand, parseFor } from './command-line.ts';
import { EXIT } from './exit-codes.ts';
import { describeFault } from './faults.ts';
import { helpFor, overview } from './help.ts';

export interface Program {
  readonly groups: readonly CommandGroup[];
  /** Told by `--version`. */
  readonly version: Readonly<Record<string, string>>;
}

/** Runs what the arguments ask for, and says what went wrong. Gives the exit code. */
export async function run(argv: readonly string[], program: Program, io: Io): Promise<number> {
  const end = argv.indexOf('--');
  const flags = new Set(end < 0 ? argv : argv.slice(0, end));
  let running = '';
  try {
    return await dispatch();
  } catch (fault) {
    const { text, error, exitCode } = describeFault(fault);
    if (flags.has('--json')) io.err(`${JSON.stringify({ error })}\n`);
    else io.err(`ron-kms: ${text}\n${exitCode === EXIT.usage && running !== '' ? `ron-kms help ${running} shows how it is used\n` : ''}`);
    return exitCode;
  }

  async function dispatch(): Promise<number> {
    const asksHelp = argv.length === 0 || argv[0] === 'help' || flags.has('--help') || flags.has('-h');
    const found = await findCommand(argv[0] === 'help' ? argv.slice(1) : argv, program.groups);
    if (asksHelp) {
      io.out(found?.command === undefined ? overview(found?.group ?? await allOf(program.groups)) : helpFor(found.command));
      return EXIT.ok;
    }
    if (found === undefined && flags.has('--version')) {
      const { version } = program;
      io.out(flags.has('--json') ? `${JSON.stringify(version)}\n` : `ron-kms ${version['version']} (Node ${version['node']})\n`);
      return EXIT.ok;
    }
    if (found?.command === undefined) {
      io.err(`ron-kms: ${unknownText(argv, found?.group)}\n\n${overview(found?.group ?? await allOf(program.groups))}`);
      return EXIT.usage;
    }
    running = found.command.name;
    return found.command.run(parseFor(found.command, found.rest), io);
  }
}

/** Only what can be a command is repeated: a value among the flags may be a token. */
function unknownText(argv: readonly string[], group: readonly Command[] | undefined): string {
  const asked = argv.filter((word) => /^[a-z][a-z-]{0,19}$/.test(word)).slice(0, 2).join(' ');
  if (asked === '') return 'there is no command';
  return asked === group?.[0]?.name.split(' ')[0] ? `${asked} needs one more word` : `there is no command ${JSON.stringify(asked)}`;
}

async function allOf(groups: readonly CommandGroup[]) {
  return (await Promise.all(groups.map((group) => group.load()))).flat();
}
