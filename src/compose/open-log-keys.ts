import type { KeyPairDeps } from '../adapters/log-keys/key-pair.ts';
import type { DurableFile } from '../adapters/files/durable-file.ts';
import type { Opener } from '../adapters/root-key/root-key.ts';
import type { Config } from '../config/load.ts';
import type { Settings } from '../config/keys.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import { join } from 'node:path';
import { readIdentity } from '../adapters/log-keys/identity.ts';
import { openLogSigner } from '../adapters/log-keys/open.ts';
import { durableFile } from '../adapters/files/durable-file.ts';
import { readKeyfile } from '../adapters/root-key/keyfile.ts';
import { readPassphrase } from '../adapters/root-key/passphrase.ts';
import { openRootKey } from '../adapters/root-key/root-key.ts';

/** What lies below `audit.dir` besides the log itself. */
export const LOG_FILES = { identity: 'identity.json', rootKey: 'root-key.json', logKeys: 'log-keys.json' } as const;

export interface OpenLogKeysDeps extends KeyPairDeps {
  readonly config: Config;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly credentialsDirectory: string | undefined;
}

/** The keys of the log in `audit.dir`, opened with what the operator gives. Throws with what is missing or wrong. */
export async function openLogKeys({ config: { settings }, environment, credentialsDirectory, signatures, memory }: OpenLogKeysDeps): Promise<LogSigner> {
  const fileOf = (name: string) => durableFile(join(settings['audit.dir'], name));
  const { instanceId } = await readIdentity(fileOf(LOG_FILES.identity));
  const expected = settings['service.instance_id'];
  if (expected !== undefined && expected !== instanceId) throw new Error(`audit.dir holds the log of ${instanceId}, and service.instance_id is ${expected}: one of the two is another service's`);
  const opener = openerFrom(settings, { environment, credentialsDirectory }, memory);
  const rootKey = await readSealed(fileOf(LOG_FILES.rootKey)).then((sealed) => openRootKey(sealed, instanceId, opener, memory)).finally(() => opener.secret.destroy());
  try {
    return await openLogSigner({ file: fileOf(LOG_FILES.logKeys), instanceId, rootKey, signatures, memory, keyOverlapMs: settings['audit.key_overlap'] });
  } finally {
    rootKey.destroy();
  }
}

function readSealed(file: DurableFile): Promise<Buffer> {
  return file.read().catch((fault: unknown) => {
    throw new Error('root-key.json cannot be read from audit.dir: without it the log cannot be signed', { cause: fault });
  });
}

type Surroundings = Pick<OpenLogKeysDeps, 'environment' | 'credentialsDirectory'>;

function openerFrom(settings: Settings, { environment, credentialsDirectory }: Surroundings, memory: KeyPairDeps['memory']): Opener {
  const keyfilePath = settings['backends.file.keyfile_path'];
  if (settings['backends.file.seal'] === 'keyfile' && keyfilePath !== undefined) return { seal: 'keyfile', secret: readKeyfile(keyfilePath, memory) };
  const passphrase = readPassphrase({ variable: settings['backends.file.passphrase_env'], fd: settings['backends.file.passphrase_fd'], environment, credentialsDirectory });
  if (passphrase === undefined) throw new Error('the root key lies under a passphrase, and nobody gives it: set backends.file.passphrase_env or _fd, or lend it as the systemd credential ron-kms.passphrase');
  return { seal: 'passphrase', secret: passphrase };
}
