import type { Command } from './command.ts';
import { EXIT } from './exit-codes.ts';

/** The commands, each with its summary. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => titleOf(command).length));
  const lines = commands.map((command) => `  ${titleOf(command).padEnd(width)}  ${command.summary}`);
  return [
    'ron-kms: a key management service', '', 'Commands', ...lines, '',
    'ron-kms help <command> shows its options and an example.',
    `Exit codes: ${Object.entries(EXIT).map(([name, code]) => `${code} ${name}`).join(', ')}.`, '',
  ].join('\n');
}

export function helpFor(command: Command): string {
  const options = Object.entries(command.options).map(([name, { type, short, multiple }]) => {
    const flag = `--${name}${type === 'string' ? ' <value>' : ''}${multiple === true ? ' ...' : ''}`;
    return { flag: short === undefined ? flag : `-${short}, ${flag}`, about: command.about[name] ?? '' };
  });
  const width = Math.max(0, ...options.map(({ flag }) => flag.length));
  return [
    `ron-kms ${titleOf(command)}`, '', `  ${command.summary}`, '',
    ...(options.length === 0 ? [] : ['Options', ...options.map(({ flag, about }) => `  ${flag.padEnd(width)}  ${about}`.trimEnd()), '']),
    'Example', `  ron-kms ${command.example}`, '',
  ].join('\n');
}

function titleOf({ name, args }: Command): string {
  return args === undefined ? name : `${name} ${args}`;
}
