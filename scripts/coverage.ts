/** `npm run coverage`: which branches of core and services the tests take, in their own processes and in those that they start. Exit code 1 below the floor. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLOOR = '90';
const counts = mkdtempSync(join(tmpdir(), 'ron-kms-coverage-'));

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  spawnSync('npx', args, { stdio: 'inherit', env: { ...process.env, ...env } });
}

try {
  run(['vitest', 'run', '--reporter=dot', ...process.argv.slice(2)], { NODE_V8_COVERAGE: counts });
  const { status } = spawnSync('npx', [
    'c8', 'report', '--temp-directory', counts, '--merge-async', '--src', '.', '--include', 'src/core/**/*.ts', '--include', 'src/service/**/*.ts', '--exclude', '**/*.d.ts',
    '--reporter', 'text', '--check-coverage', '--branches', FLOOR, '--lines', FLOOR, '--functions', '0', '--statements', '0',
  ], { stdio: 'inherit', env: { ...process.env, NODE_OPTIONS: '--max-old-space-size=6000' } });
  process.exitCode = status ?? 1;
} finally {
  rmSync(counts, { recursive: true, force: true });
}
