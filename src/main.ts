/** The composition root: the one place that sees the process, its arguments and its signals. */
import type { CommandGroup, Io } from './cli/command.ts';
import type { SpawnService } from './compose/child-service.ts';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isNodeCurrent, NODE_NEEDED } from './cli/node-version.ts';
import { run } from './cli/run.ts';

if (!isNodeCurrent(process.version)) {
  process.stderr.write(`ron-kms: ${NODE_NEEDED}\n`);
  process.exit(2);
}

// `ron-kms keys list | head`: the reader has gone, and that is no fault of ours.
process.stdout.on('error', (fault: NodeJS.ErrnoException) => process.exit(fault.code === 'EPIPE' ? 0 : 1));

const io: Io = {
  env: process.env,
  cwd: process.cwd(),
  isTerminal: process.stdout.isTTY,
  isErrTerminal: process.stderr.isTTY,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  stdin: () => process.stdin,
};

/** Only for commands that stay: any other ends at once on a signal, as usual. */
function untilStopped(): Promise<unknown> {
  return new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
}

/** This program once more, with the same Node and its flags; its log is not read. */
const spawnService: SpawnService = (args) => spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), ...args], { stdio: ['ignore', 'pipe', 'ignore'] });

/** For what was said to be read. */
const LINGER_MS = 1000;
const version = { version: '0.1.0', node: process.version };

/** Every command, by its first word; loaded when it is typed. */
const groups: readonly CommandGroup[] = [
  { word: 'serve', load: async () => [(await import('./compose/serve-command.ts')).makeServeCommand({ stopped: untilStopped(), onHangUp: (run) => process.on('SIGHUP', run), version })] },
  { word: 'init', load: async () => [(await import('./compose/init-command.ts')).initCommand] },
  { word: 'demo', load: async () => [(await import('./compose/demo-command.ts')).makeDemoCommand({ spawnService, filePath: fileURLToPath(new URL('../README.md', import.meta.url)) })] },
  { word: 'bench', load: async () => [(await import('./compose/bench-command.ts')).makeBenchCommand({ stopped: untilStopped() })] },
  { word: 'keys', load: async () => (await import('./cli/keys.ts')).keyCommands },
  { word: 'sign', load: async () => [(await import('./cli/sign.ts')).signCommand] },
  { word: 'verify', load: async () => [(await import('./cli/verify.ts')).verifyCommand] },
  { word: 'wrap', load: async () => [(await import('./cli/wrap.ts')).wrapCommand] },
  { word: 'unwrap', load: async () => [(await import('./cli/unwrap.ts')).unwrapCommand] },
  { word: 'rewrap', load: async () => [(await import('./cli/unwrap.ts')).rewrapCommand] },
  { word: 'token', load: async () => (await import('./cli/token.ts')).tokenCommands },
  { word: 'audit', load: async () => (await import('./compose/audit-command.ts')).auditCommands },
  { word: 'attest', load: async () => (await import('./cli/attest.ts')).attestCommands },
  { word: 'config', load: async () => (await import('./cli/config.ts')).configCommands },
  { word: 'rekey', load: async () => [(await import('./cli/rekey.ts')).rekeyCommand, (await import('./compose/reseal-command.ts')).resealCommand] },
  { word: 'backup', load: async () => [(await import('./cli/backup.ts')).backupCommand] },
  { word: 'restore', load: async () => [(await import('./compose/restore-command.ts')).restoreCommand] },
  { word: 'doctor', load: async () => [(await import('./compose/doctor-command.ts')).makeDoctorCommand(version.node)] },
];

process.exitCode = await run(process.argv.slice(2), { groups, version }, io);
// What somebody else's library still waits for does not keep a process that has failed: whoever started it is to know.
if (process.exitCode !== 0) setTimeout(() => process.exit(), LINGER_MS).unref();
