/** The composition root: the one place that sees the process, its arguments and its signals. */
import type { Io } from './cli/command.ts';
import { buffer } from 'node:stream/consumers';
import { isNodeCurrent, NODE_NEEDED } from './cli/node-version.ts';

if (!isNodeCurrent(process.version)) {
  process.stderr.write(`ron-kms: ${NODE_NEEDED}\n`);
  process.exit(2);
}

const io: Io = {
  env: process.env,
  cwd: process.cwd(),
  isTerminal: process.stdout.isTTY,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  stdin: () => buffer(process.stdin),
};

const stopped = new Promise((resolve) => {
  process.once('SIGINT', resolve);
  process.once('SIGTERM', resolve);
});

const { run } = await import('./cli/run.ts');
const { makeServeCommand } = await import('./compose/serve-command.ts');
const version = { version: '0.1.0', node: process.version };
process.exitCode = await run(process.argv.slice(2), [makeServeCommand({ stopped, version })], io);
