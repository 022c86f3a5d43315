import type { Io } from '../../src/cli/command.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startProgress, whileWaiting } from '../../src/cli/progress.ts';
import { readPayload } from '../../src/cli/payload.ts';

function terminal(isErrTerminal: boolean, stdin?: () => AsyncIterable<Uint8Array>) {
  let said = '';
  const io: Io = { env: {}, cwd: '/', isTerminal: false, isErrTerminal, out: () => undefined, err: (text) => { said += text; }, stdin: stdin ?? (async function* () { yield Buffer.alloc(0); }) };
  return { io, said: () => said };
}

/** Two parts, more than a second apart. */
async function* slow() {
  yield Buffer.alloc(2_000_000);
  await pause(1100);
  yield Buffer.alloc(3_000_000);
}

test('a long read is told to a terminal, and wiped off again', async () => {
  const { io, said } = terminal(true, slow);
  await readPayload('-', io);
  expect(said()).toContain('hashing standard input: 5 MB');
  expect(said().endsWith('\r\u001b[K')).toBe(true);
});

test('and to nobody else, nor a short one to anybody', async () => {
  const pipe = terminal(false, slow);
  await readPayload('-', pipe.io);
  expect(pipe.said()).toBe('');

  const quick = terminal(true);
  const progress = startProgress(quick.io, 'hashing', 10);
  progress.advance(10);
  progress.end();
  expect(quick.said()).toBe('');
});

test('a call that takes a second is told too', async () => {
  const { io, said } = terminal(true);
  expect(await whileWaiting(io, 'waiting', pause(1100, 'done'))).toBe('done');
  expect(said()).toBe('waiting ...\n');
  expect(await whileWaiting(terminal(false).io, 'waiting', Promise.resolve(1))).toBe(1);
});
