import type { Io } from '../cli/command.ts';
import type { Config } from '../config/load.ts';
import type { Devices } from './devices.ts';
import { existsSync, readFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { readAnchorRecord } from '../adapters/anchor-file/record.ts';
import { flushDirectory, replaceDurably } from '../adapters/files/durable-file.ts';
import { removeTpmCounter } from '../adapters/tpm/nv.ts';
import { originOf } from '../adapters/log-keys/identity.ts';

/** Brings what stands outside of the two directories in line with the instance that is there now; says what it did, and what is left to be done by hand. Done twice, it does nothing more. */
export async function settleAround({ settings, sources }: Config, { io, devices }: { readonly io: Io; readonly devices: Pick<Devices, 'tpm'> }, instanceId: string, aside: string): Promise<readonly string[]> {
  const remarks: string[] = [];
  const anchor = settings['audit.anchor'] === 'file' ? settings['audit.anchor_path'] : undefined;
  if (anchor !== undefined && await setAside(resolve(io.cwd, anchor), instanceId, aside)) remarks.push(`the anchor file of the log before is ${anchor}.${aside} now; the next start makes a new one`);

  // The log that it counted for is at an end. A token's record names its log, and stays as it is.
  if (settings['audit.anchor'] === 'tpm' && await removeTpmCounter(devices.tpm(), settings['backends.tpm.nv_index'])) remarks.push('the TPM\'s counter of the log before is taken away; the next start makes a new one');

  const named = settings['service.instance_id'];
  if (named === undefined || named === instanceId) return remarks;
  const path = /^file (.*)$/.exec(sources['service.instance_id'])?.[1];
  const isChanged = path !== undefined && await renameInstance(resolve(io.cwd, path), named, instanceId);
  return [...remarks, isChanged ? `${path} names the new instance now` : `set service.instance_id = "${instanceId}" before the next start`];
}

/** The file of another log is refused at a start. */
async function setAside(path: string, instanceId: string, aside: string): Promise<boolean> {
  if (!existsSync(path) || readAnchorRecord(readFileSync(path))?.origin === originOf(instanceId)) return false;
  await rename(path, `${path}.${aside}`);
  await flushDirectory(dirname(path));
  return true;
}

/** One line of the settings as `init` writes it; where somebody wrote it in another way, it is left to them. */
async function renameInstance(path: string, before: string, after: string): Promise<boolean> {
  const text = readFileSync(path, 'utf8');
  const line = new RegExp(`^(\\s*(?:service\\.)?instance_id\\s*=\\s*)"${before}"`, 'm');
  if (!line.test(text)) return false;
  await replaceDurably(path, Buffer.from(text.replace(line, `$1"${after}"`)));
  return true;
}
