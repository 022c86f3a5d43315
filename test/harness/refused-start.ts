import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { LAUNCHER } from './service.ts';

/** A `serve` that must not come up: its exit code, and what it said. Fails when it does come up. */
export async function refusedStart(flags: readonly string[], cwd: string): Promise<{ readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(LAUNCHER, ['serve', '--profile', 'micronode', '--bind-addr', '127.0.0.1:0', '--metrics-addr', '127.0.0.1:0', '--json', ...flags], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    child.kill('SIGKILL');
  });
  child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
  await once(child, 'close');
  return { exitCode: child.exitCode, stdout, stderr };
}
