import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url));

/** Whether a program is there; says loudly what is skipped without it, and how to get it. */
export function isThere(program: string, what: string, how: string): boolean {
  const found = spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
  if (!found) console.warn(`SKIPPED: ${what}; ${how}`);
  return found;
}

/** Runs it below `deploy/`; gives its exit code and all it said. */
export function runThere(program: string, args: readonly string[], cwd = DEPLOY): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  return { code: status, said: stdout + stderr };
}
