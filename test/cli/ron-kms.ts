import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { LAUNCHER } from '../harness/service.ts';

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** The most memory that the process was seen to hold, KiB. */
  readonly peakKiB: number;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Buffer;
}

const SAMPLE_MS = 5;

/** The program as a user starts it, in a process of its own and without this one's RON_KMS variables. */
export async function ronKms(args: readonly string[], { cwd, env = {}, stdin }: RunOptions = {}): Promise<Ran> {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RON_KMS_') && !name.startsWith('VITEST')));
  const child = spawn(LAUNCHER, args, { ...(cwd !== undefined && { cwd }), env: { ...own, ...env }, stdio: 'pipe' });
  let out = '';
  let err = '';
  let peakKiB = 0;
  child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString(); });
  child.stderr.on('data', (chunk: Buffer) => { err += chunk.toString(); });
  // A program that does not read its input has gone before all of it is written.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin ?? '');
  const sampler = setInterval(() => { peakKiB = Math.max(peakKiB, readPeakKiB(child.pid)); }, SAMPLE_MS);
  await once(child, 'close');
  clearInterval(sampler);
  return { code: child.exitCode, out, err, peakKiB };
}

function readPeakKiB(pid: number | undefined): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Nothing that only a developer of ron-kms could use. */
export function showsStack(text: string): boolean {
  return /\n\s+at |node:internal|\.ts:\d+/.test(text);
}
