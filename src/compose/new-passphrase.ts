import type { PassphraseSources } from '../adapters/root-key/passphrase.ts';
import type { Io } from '../cli/command.ts';
import type { Secret } from '../core/secret.ts';
import { isSamePassphrase, passphraseOf, readPassphrase, weaknessOfPassphrase } from '../adapters/root-key/passphrase.ts';
import { askHidden } from '../adapters/system/hidden-prompt.ts';
import { UsageError } from '../cli/command.ts';

/** A passphrase for a new root key, from where the operator said, else asked for twice; a weak one is refused. */
export async function newPassphrase({ variable, fd }: Pick<PassphraseSources, 'variable' | 'fd'>, io: Io): Promise<Secret> {
  const given = readPassphrase({ variable, fd, environment: io.env, credentialsDirectory: io.env['CREDENTIALS_DIRECTORY'] });
  const passphrase = given ?? await askTwice();
  const weakness = weaknessOfPassphrase(passphrase);
  if (weakness !== undefined) {
    passphrase.destroy();
    throw new UsageError(`the passphrase is too weak: ${weakness}`);
  }
  return passphrase;
}

async function askTwice(): Promise<Secret> {
  const [first, again] = (await askHidden(['Passphrase for the root key: ', 'The same again: ']))?.map(passphraseOf) ?? [];
  if (first === undefined || again === undefined) throw new UsageError('there is no passphrase and nobody to ask for one: give --passphrase-env or --passphrase-fd, or --seal keyfile');
  const isSame = isSamePassphrase(first, again);
  again.destroy();
  if (!isSame) throw new UsageError('the two passphrases differ');
  return first;
}
