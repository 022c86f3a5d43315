import type { Command, CommandGroup, Io } from '../../src/cli/command.ts';
import { describe, expect, test } from 'vitest';
import { parseFor } from '../../src/cli/command-line.ts';
import { configCommands } from '../../src/cli/config.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { helpFor } from '../../src/cli/help.ts';
import { keyCommands } from '../../src/cli/keys.ts';
import { run } from '../../src/cli/run.ts';
import { signCommand } from '../../src/cli/sign.ts';
import { tokenCommands } from '../../src/cli/token.ts';
import { rewrapCommand, unwrapCommand } from '../../src/cli/unwrap.ts';
import { verifyCommand } from '../../src/cli/verify.ts';
import { wrapCommand } from '../../src/cli/wrap.ts';
import { auditCommands } from '../../src/compose/audit-command.ts';
import { makeDoctorCommand } from '../../src/compose/doctor-command.ts';
import { initCommand } from '../../src/compose/init-command.ts';
import { makeServeCommand } from '../../src/compose/serve-command.ts';

const commands: readonly Command[] = [
  makeServeCommand({ stopped: Promise.resolve(), onHangUp: () => undefined, version: {} }), ...keyCommands, signCommand, verifyCommand, wrapCommand, unwrapCommand, rewrapCommand,
  ...tokenCommands, ...configCommands, ...auditCommands, makeDoctorCommand(process.version), initCommand,
];

describe.each(commands.map((command) => [command.name, command] as const))('%s', (name, command) => {
  test('says what each of its flags is for, and knows each that it explains', () => {
    expect(Object.keys(command.about).toSorted()).toEqual(Object.keys(command.options).toSorted());
    expect(Object.values(command.about).filter((text) => text === '')).toEqual([]);
  });

  test('takes --json', () => {
    expect(command.options['json']).toEqual({ type: 'boolean' });
  });

  test('has an example that it understands, and help that shows it', () => {
    expect(command.example.startsWith(name)).toBe(true);
    const rest = command.example.slice(name.length).trim();
    expect(() => parseFor(command, rest === '' ? [] : rest.split(' '))).not.toThrow();
    expect(helpFor(command)).toContain(`ron-kms ${command.example}`);
  });
});

/** Runs against a table of one group whose commands only tell what they were given. */
async function dispatch(...argv: readonly string[]) {
  const seen: object[] = [];
  const tells = (name: string): Command => ({
    name, summary: '', example: name, about: {}, options: { tenant: { type: 'string' }, json: { type: 'boolean' }, label: { type: 'string', multiple: true } },
    ...(name === 'keys get' && { args: '<kid>' }),
    run: async ({ flags, args }) => {
      seen.push({ name, flags: { ...flags }, args });
      return EXIT.ok;
    },
  });
  const groups: readonly CommandGroup[] = [{ word: 'keys', load: async () => ['keys list', 'keys get'].map(tells) }, { word: 'sign', load: async () => [tells('sign')] }];
  let said = '';
  const io: Io = { env: {}, cwd: '/', isTerminal: false, isErrTerminal: false, out: (text) => { said += text; }, err: (text) => { said += text; }, stdin: async function* () { yield Buffer.alloc(0); } };
  return { code: await run(argv, { groups, version: { version: '9', node: 'v26' } }, io), seen, said };
}

describe('the command line', () => {
  test.each([
    [['keys', 'list', '--tenant', 'x'], 'keys list', { tenant: 'x' }],
    [['--json', 'keys', 'list'], 'keys list', { json: true }],
    [['--tenant', 'x', 'keys', 'list'], 'keys list', { tenant: 'x' }],
    [['--tenant', 'keys', 'keys', 'list'], 'keys list', { tenant: 'keys' }],
    [['keys', '--tenant', 'sign', 'list', '--json'], 'keys list', { tenant: 'sign', json: true }],
    [['--tenant=keys', 'sign'], 'sign', { tenant: 'keys' }],
    [['keys', 'list', '--tenant', 'a', '--tenant', 'b'], 'keys list', { tenant: 'b' }],
    [['keys', 'list', '--label', 'a=b', '--label', 'c=d'], 'keys list', { label: ['a=b', 'c=d'] }],
  ])('%j is %s', async (argv, name, flags) => {
    expect((await dispatch(...argv)).seen).toEqual([{ name, flags, args: [] }]);
  });

  test('an argument may be spelled like a command', async () => {
    expect((await dispatch('keys', 'get', 'keys')).seen).toEqual([{ name: 'keys get', flags: {}, args: ['keys'] }]);
    expect((await dispatch('keys', 'get', '--', '--odd')).seen).toEqual([{ name: 'keys get', flags: {}, args: ['--odd'] }]);
  });

  test.each([
    [['keys', 'list', '--tenat', 'x'], 'keys list has no flag --tenat; --tenant perhaps?'],
    [['keys', 'list', '--zzz'], 'keys list has no flag --zzz\n'],
    [['keys', 'list', '--tenant'], '--tenant needs a value'],
    [['keys', 'list', '--tenant', '--json'], '--tenant needs a value'],
    [['keys', 'list', '--json=yes'], '--json takes no value'],
    [['keys', 'list', 'more'], 'keys list takes flags only'],
    [['keys', 'get'], 'keys get needs <kid>'],
    [['keys', 'get', 'a', 'b'], 'keys get takes <kid> and nothing more'],
    [['keys'], 'keys needs one more word'],
    [['keys', 'lost'], 'there is no command "keys lost"'],
    [['nothing'], 'there is no command "nothing"'],
    [['--nothing'], 'there is no command\n'],
  ])('%j is refused', async (argv, say) => {
    const { code, seen, said } = await dispatch(...argv);
    expect({ code, seen }).toEqual({ code: EXIT.usage, seen: [] });
    expect(said).toContain(say);
  });

  test('what may be a token is not repeated', async () => {
    const token = 'AgEbcm9uMS50ZXN0LmNpLnQx';
    for (const argv of [[token], ['keys', token], ['--tokn', token, 'keys', 'list'], ['keys', 'list', `--tokn=${token}`], ['keys', 'list', token]]) {
      expect((await dispatch(...argv)).said).not.toContain(token);
    }
  });

  test('help, of all, of a group, of a command; and the version', async () => {
    for (const argv of [[], ['help'], ['--help'], ['-h']]) expect(await dispatch(...argv)).toMatchObject({ code: EXIT.ok, said: expect.stringContaining('sign') });
    const group = await dispatch('help', 'keys');
    expect(group.said).toContain('keys get');
    expect(group.said).not.toContain('sign');
    expect((await dispatch('keys', 'get', '--help')).said).toContain('ron-kms keys get <kid>');
    expect((await dispatch('help', 'keys', 'get')).said).toContain('ron-kms keys get <kid>');
    expect((await dispatch('--version')).said).toBe('ron-kms 9 (Node v26)\n');
    expect((await dispatch('--version', '--json')).said).toBe('{"version":"9","node":"v26"}\n');
  });
});
