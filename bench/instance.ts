import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LAUNCHER, launcherEnvironment } from './launcher.ts';

/** A log on disk and its keys, as `ron-kms init` makes them. */
export interface Instance {
  /** Of its own; all paths below are in it. */
  readonly directory: string;
  readonly configPath: string;
  readonly auditDir: string;
  /** What `init` says to pin. */
  readonly vkeys: readonly string[];
  remove(): void;
}

/** Makes one in a new directory below `parent`, whose file system is the one that is measured. */
export async function makeInstance(parent: string, signal: AbortSignal, { init = ['--seal', 'keyfile'], env = {} }: { readonly init?: readonly string[]; readonly env?: Readonly<Record<string, string>> } = {}): Promise<Instance> {
  const directory = mkdtempSync(join(parent, 'ron-kms-bench-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    const { stdout } = await promisify(execFile)(LAUNCHER, ['init', ...init, '--json'], { cwd: directory, env: { ...launcherEnvironment(), ...env }, signal });
    const { keys } = JSON.parse(stdout) as { keys: { vkey: string }[] };
    return { directory, configPath: join(directory, 'kms.toml'), auditDir: join(directory, 'kms-audit'), vkeys: keys.map(({ vkey }) => vkey), remove };
  } catch (fault) {
    remove();
    throw fault;
  }
}
