import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './poll.ts';

const TOOL = 'tpm2_getcap';
/** The program, where tpm2-tools are there as well: they do what the owner of a TPM can. */
export const SWTPM = ['/usr/bin', '/usr/local/bin'].find((folder) => existsSync(join(folder, 'swtpm')) && existsSync(join(folder, TOOL))) && 'swtpm';
export const SWTPM_MISSING = 'SKIPPED: what a TPM holds. It needs swtpm and tpm2-tools (apt-get install swtpm tpm2-tools)';

/** A TPM of its own, in a process of its own. */
export interface SoftTpm {
  /** For `backends.tpm.device`. */
  readonly device: string;
  /** As the machine does at a reboot: PCRs start anew; what is in NV stays. */
  reboot(): Promise<void>;
  /** Ends it: nobody answers any more. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Stopped in its tracks, and let go on. */
  freeze(): void;
  thaw(): void;
  /** What the boot chain does with what it measures. */
  extendPcr(pcr: number): void;
  /** tpm2-tools on it. */
  tool(name: string, ...args: readonly string[]): string;

  drop(): Promise<void>;
}

const WITHIN_MS = 10_000;

export async function startSoftTpm(): Promise<SoftTpm> {
  if (SWTPM === undefined) throw new Error(SWTPM_MISSING);
  const root = mkdtempSync(join(tmpdir(), 'ron-kms-swtpm-'));
  const [state, device, control] = [join(root, 'state'), join(root, 'tpm.sock'), join(root, 'tpm.sock.ctrl')];
  mkdirSync(state);
  let child: ChildProcess | undefined;

  const start = async (): Promise<void> => {
    rmSync(device, { force: true });
    child = spawn(SWTPM, ['socket', '--tpm2', '--tpmstate', `dir=${state}`, '--server', `type=unixio,path=${device}`, '--ctrl', `type=unixio,path=${control}`, '--flags', 'not-need-init,startup-clear'], { stdio: 'ignore' });
    // Its socket is there before it listens.
    await eventually('the TPM listens', WITHIN_MS, () => isListening(device));
  };
  const stop = async (): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null) return;
    const ended = once(ending, 'exit');
    ending.kill('SIGCONT');
    ending.kill('SIGTERM');
    await ended;
  };
  const tool = (name: string, ...args: readonly string[]): string =>
    execFileSync(name, args, { env: { ...process.env, TPM2TOOLS_TCTI: `swtpm:path=${device}` }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  await start();
  return {
    device, start, stop, tool,
    async reboot() {
      await stop();
      await start();
    },
    freeze: () => { child?.kill('SIGSTOP'); },
    thaw: () => { child?.kill('SIGCONT'); },
    extendPcr: (pcr) => { tool('tpm2_pcrextend', `${pcr}:sha256=${'ab'.repeat(32)}`); },
    async drop() {
      await stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** By the kernel's list: swtpm serves one connection after the other, and one to see whether it is there would be one of them. */
function isListening(path: string): boolean {
  const ACCEPTS = '00010000';
  return readFileSync('/proc/net/unix', 'utf8').split('\n').some((line) => line.endsWith(` ${path}`) && line.split(/\s+/)[3] === ACCEPTS);
}
