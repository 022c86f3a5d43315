import type { Secret } from '../core/secret.ts';
import type { PassphraseTerminal } from './device-sources.ts';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { passphraseOf, readPassphrase } from '../adapters/root-key/passphrase.ts';

export interface PinSources {
  /** Whose PIN, for who is asked for it. */
  readonly of: string;
  /** The settings that say where it is: `<prefix>_env`, `<prefix>_path`. */
  readonly prefix: string;
  readonly variable: string | undefined;
  readonly path: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly terminal: PassphraseTerminal | undefined;
}

const OTHERS = 0o077;

/** A PIN from a file, a variable, or who sits at the terminal; undefined where nobody gives one. */
export async function readPin({ of, prefix, variable, path, environment, terminal }: PinSources): Promise<Secret | undefined> {
  if (path !== undefined) return passphraseOf(readPrivate(path, `${prefix}_path`));
  const given = readPassphrase({ variable, environment, credentialsDirectory: undefined, setting: `${prefix}_env` });
  return given ?? terminal?.ask(`PIN of ${of}: `);
}

/** The bytes of a file that only its owner may read. */
export function readPrivate(path: string, setting: string): Buffer {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (fault) {
    throw new Error(`the file ${path} of ${setting} cannot be read`, { cause: fault });
  }
  try {
    if ((fstatSync(fd).mode & OTHERS) !== 0) throw new Error(`others may read ${path}: chmod 600 it, and change the PIN, which is known to them`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
