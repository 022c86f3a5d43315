import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { LAUNCHER } from '../harness/service.ts';
import { LABEL, makeSoftToken, PIN, SOFTHSM_MISSING, SOFTHSM_MODULE } from '../harness/softhsm.ts';
import { ronKms } from './ron-kms.ts';

if (SOFTHSM_MODULE === undefined) console.warn(SOFTHSM_MISSING);

const home = mkdtempSync(join(tmpdir(), 'ron-kms-unlock-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const WORDS = 'otter lantern quartz meadow';
const WRONG = 'otter lantern quartz meadows';
const QUESTION = 'Passphrase of the root key: ';

/** Serves at a terminal of its own, on which these lines are typed; is told to stop once it listens. */
function typing(...lines: readonly string[]): ReturnType<typeof typingTo> {
  return typingTo({ question: QUESTION, cwd: home, env: {} }, ...lines);
}

interface At {
  readonly question: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

async function typingTo({ question, cwd, env }: At, ...lines: readonly string[]): Promise<{ readonly code: number | null; readonly shown: string; readonly asked: number }> {
  const child = spawn('script', ['-qec', `exec ${LAUNCHER} serve --bind-addr 127.0.0.1:0 --metrics-addr 127.0.0.1:0`, '/dev/null'], { cwd, stdio: 'pipe', env: { ...process.env, ...env, TERM: 'dumb' } });
  let shown = '';
  let asked = 0;
  let isTold = false;
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    for (; asked < shown.split(question).length - 1; asked++) child.stdin.write(`${lines[asked] ?? ''}\r`);
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

test.skipIf(SOFTHSM_MODULE === undefined)('the PIN of a token is asked for once where nothing says where it is, also where root key, log and keys are there', { timeout: 60_000 }, async () => {
  const soft = makeSoftToken();
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-pin-'));
  try {
    const pinPath = join(root, 'pin');
    writeFileSync(pinPath, `${PIN}\n`, { mode: 0o600 });
    const made = await ronKms(['init', '--backend', 'pkcs11', '--module-path', soft.modulePath, '--slot-label', LABEL, '--pin-path', pinPath, '--dev-keyset'], { cwd: root, env: soft.env });
    expect([made.code, made.err]).toEqual([0, '']);
    const settings = join(root, 'kms.toml');
    writeFileSync(settings, readFileSync(settings, 'utf8').replace(/^pin_path.*\n/m, ''));
    const at = { question: `PIN of the token ${LABEL}: `, cwd: root, env: soft.env };
    const { code, shown, asked } = await typingTo(at, PIN);
    expect({ code, asked, shown }).toMatchObject({ code: 0, asked: 1, shown: expect.stringContaining('ron-kms listens on') });
    expect(shown).not.toContain(PIN);
    // A wrong one is tried once: the token counts.
    expect(await typingTo(at, 'wrong')).toMatchObject({ code: 5, asked: 1, shown: expect.stringContaining('CKR_PIN_INCORRECT') });
    chmodSync(pinPath, 0o644);
    const open = await ronKms(['serve', '--backends-pkcs11-pin-path', pinPath], { cwd: root, env: soft.env });
    expect([open.code, open.err]).toEqual([1, expect.stringContaining('change the PIN, which is known to them')]);
  } finally {
    soft.drop();
    rmSync(root, { recursive: true, force: true });
  }
});
