import type { Config } from '../config/load.ts';
import type { Io } from './command.ts';
import type { Finding } from './doctor-finding.ts';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { readSmall } from './files.ts';
import { destroyKeyset, readKeyset } from './keyset-file.ts';

const name = 'key set';
const OTHERS = 0o077;

/** Who vouches for tokens, and whether only the service can read what it needs for that. */
export async function checkKeyset({ settings, profile }: Config, io: Io): Promise<Finding> {
  if (settings['auth.mode'] === 'introspect') return { name, level: 'ok', says: 'none: tokens are introspected' };
  if (settings['auth.keyset_fd'] !== undefined) return { name, level: 'ok', says: 'from a file descriptor, at start' };
  const path = settings['auth.keyset_path'];
  if (path !== undefined) return checkFile(path, io);
  if (io.env['CREDENTIALS_DIRECTORY'] !== undefined) return { name, level: 'ok', says: 'lent by systemd' };
  return profile === 'micronode'
    ? { name, level: 'ok', says: 'made in memory at start' }
    : { name, level: 'wrong', says: 'there is none, so no token is accepted', advice: 'set auth.keyset_path; ron-kms token new-keyset makes one for a developer\'s machine' };
}

async function checkFile(path: string, io: Io): Promise<Finding> {
  const mode = await stat(resolve(io.cwd, path)).then((stats) => stats.mode, () => undefined);
  if (mode === undefined) return { name, level: 'wrong', says: `${path} is not there`, advice: 'put it there, or correct auth.keyset_path' };
  if ((mode & OTHERS) !== 0) return { name, level: 'wrong', says: `others may read ${path}, and a service refuses it`, advice: `chmod 600 ${path}` };
  try {
    const keyset = await readKeyset(path, io);
    destroyKeyset(keyset);
    return keyset.size === 0
      ? { name, level: 'wrong', says: `${path} is empty, so no token is accepted`, advice: 'put a root key into it' }
      : { name, level: 'ok', says: `${path}, root keys ${[...keyset.keys()].join(', ')}` };
  } catch (fault) {
    return { name, level: 'wrong', says: fault instanceof Error ? fault.message : `${path} cannot be read`, advice: 'the service must be able to read it' };
  }
}

export async function checkRevocations({ settings }: Config, io: Io): Promise<readonly Finding[]> {
  const path = settings['auth.revocations_path'];
  if (path === undefined) return [];
  try {
    JSON.parse((await readSmall(path, io)).toString('utf8'));
    return [{ name: 'revocations', level: 'ok', says: path }];
  } catch {
    return [{ name: 'revocations', level: 'wrong', says: `${path} cannot be read as JSON`, advice: 'without it a service does not start' }];
  }
}
