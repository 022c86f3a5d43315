import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { LAUNCHER } from '../harness/service.ts';
import { ronKms } from './ron-kms.ts';

const home = mkdtempSync(join(tmpdir(), 'ron-kms-unlock-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const WORDS = 'otter lantern quartz meadow';
const WRONG = 'otter lantern quartz meadows';
const QUESTION = 'Passphrase of the root key: ';

/** Serves at a terminal of its own, on which these lines are typed; is told to stop once it listens. */
async function typing(...lines: readonly string[]): Promise<{ readonly code: number | null; readonly shown: string; readonly asked: number }> {
  const child = spawn('script', ['-qec', `exec ${LAUNCHER} serve --bind-addr 127.0.0.1:0 --metrics-addr 127.0.0.1:0`, '/dev/null'], { cwd: home, stdio: 'pipe', env: { ...process.env, TERM: 'dumb' } });
  let shown = '';
  let asked = 0;
  let isTold = false;
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    for (; asked < shown.split(QUESTION).length - 1; asked++) child.stdin.write(`${lines[asked] ?? ''}\r`);
    if (isTold || !shown.includes('ron-kms listens on')) return;
    isTold = true;
    // As Ctrl-C at the terminal.
    child.stdin.write('\u0003');
  });
  await once(child, 'close');
  return { code: child.exitCode, shown, asked };
}

test('a wrong passphrase is asked for again after a pause, and the right one serves', { timeout: 60_000 }, async () => {
  expect((await ronKms(['init', '--passphrase-fd', '0'], { cwd: home, stdin: WORDS })).code).toBe(0);
  const { code, shown, asked } = await typing(WRONG, WORDS);
  expect({ code, asked, shown }).toMatchObject({ code: 0, asked: 2, shown: expect.stringContaining('again in 1 s') });
  expect(shown).not.toContain('otter');
});

test('after three wrong ones it gives up, with a code that is not 0', { timeout: 60_000 }, async () => {
  const startMs = performance.now();
  const { code, shown, asked } = await typing(WRONG, WRONG, WRONG, WORDS);
  expect({ code, asked }).toEqual({ code: 1, asked: 3 });
  expect(shown).toMatch(/again in 1 s[\s\S]*again in 2 s[\s\S]*wrong passphrase/);
  // The pauses are real: no machine is too fast for them.
  expect(performance.now() - startMs).toBeGreaterThan(3000);
});

test('what comes from elsewhere is tried once: it does not become right by waiting', async () => {
  const { code, err } = await ronKms(['serve', '--backends-file-passphrase-env', 'KMS_WORDS'], { cwd: home, env: { KMS_WORDS: WRONG } });
  expect(code).toBe(1);
  expect(err).toContain('wrong passphrase');
  expect(err).not.toContain('again in');
});
