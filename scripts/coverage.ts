/** `npm run coverage`: which branches of core and services the tests take, in their own processes and in those that they start. Exit code 1 below the floor. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLOOR = '90';
const counts = mkdtempSync(join(tmpdir(), 'ron-kms-coverage-'));

try {
  const tests = spawnSync('npx', ['vitest', 'run', '--reporter=dot', ...process.argv.slice(2)], { stdio: 'inherit', env: { ...process.env, NODE_V8_COVERAGE: counts } });
  // Of nothing every branch is taken: counts of tests that failed say nothing, and their names shall stand last.
  process.exitCode = tests.status === 0 ? report() : 1;
} finally {
  rmSync(counts, { recursive: true, force: true });
}

function report(): number {
  const { status } = spawnSync('npx', [
    'c8', 'report', '--temp-directory', counts, '--merge-async', '--src', '.', '--include', 'src/core/**/*.ts', '--include', 'src/service/**/*.ts', '--exclude', '**/*.d.ts',
    '--reporter', 'text', '--check-coverage', '--branches', FLOOR, '--lines', FLOOR, '--functions', '0', '--statements', '0',
  ], { stdio: 'inherit', env: { ...process.env, NODE_OPTIONS: '--max-old-space-size=6000' } });
  return status ?? 1;
}
