import type { KeyPairDeps } from '../adapters/log-keys/key-pair.ts';
import type { LogSigner } from '../ports/log-signer.ts';
import type { OpenInstanceDeps } from './open-instance.ts';
import { join } from 'node:path';
import { durableFile } from '../adapters/files/durable-file.ts';
import { openLogSigner } from '../adapters/log-keys/open.ts';
import { INSTANCE_FILES, openInstance } from './open-instance.ts';

export type OpenLogKeysDeps = OpenInstanceDeps & KeyPairDeps;

/** The keys of the log in `audit.dir`, for who needs nothing else of the instance. Throws with what is missing or wrong. */
export async function openLogKeys(deps: OpenLogKeysDeps): Promise<LogSigner> {
  const { instanceId, rootKeys } = await openInstance(deps);
  try {
    const { 'audit.dir': directory, 'audit.key_overlap': keyOverlapMs } = deps.config.settings;
    return await openLogSigner({ ...deps, file: durableFile(join(directory, INSTANCE_FILES.logKeys)), instanceId, rootKeys, keyOverlapMs, isLookingOnly: true });
  } finally {
    rootKeys.destroy();
  }
}
