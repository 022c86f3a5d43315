import type { KeyDevice } from '../adapters/root-key/key-device.ts';
import type { CloudKms } from '../adapters/cloud-kms/cloud-kms.ts';
import type { Settings } from '../config/keys.ts';
import type { DeviceSources } from './device-sources.ts';
import { setTimeout as pause } from 'node:timers/promises';
import { openAwsKms } from '../adapters/cloud-kms/aws.ts';
import { openGoogleKms } from '../adapters/cloud-kms/google.ts';
import { createCloudKeyDevice } from '../adapters/cloud-kms/key-device.ts';
import { openVaultTransit } from '../adapters/cloud-kms/vault.ts';
import { readPassphrase } from '../adapters/root-key/passphrase.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { REVEAL } from '../core/reveal.ts';
import { readPrivate } from './pin.ts';

type Provider = NonNullable<Settings['backends.cloud.provider']>;

const providers: Readonly<Record<Provider, (settings: Settings, key: string, environment: DeviceSources['environment']) => Promise<CloudKms>>> = {
  'aws-kms': (settings, key) => openAwsKms({ key, region: settings['backends.cloud.region'], endpoint: settings['backends.cloud.endpoint'], deadlineMs: settings['backends.cloud.deadline'] }),
  'google-kms': (settings, key) => openGoogleKms({ key, endpoint: settings['backends.cloud.endpoint'], deadlineMs: settings['backends.cloud.deadline'] }),
  'vault-transit': async (settings, key, environment) => {
    const endpoint = settings['backends.cloud.endpoint'];
    if (endpoint === undefined) throw new Error('the settings were checked');
    return openVaultTransit({ endpoint, key, mount: settings['backends.cloud.mount'], deadlineMs: settings['backends.cloud.deadline'], token: vaultToken(settings, environment) });
  },
};

/** The key of the key service that the settings name. Nothing is asked of it yet. */
export function openCloudKms({ settings, environment }: Pick<DeviceSources, 'settings' | 'environment'>): Promise<CloudKms> {
  const [provider, key] = [settings['backends.cloud.provider'], settings['backends.cloud.key']];
  if (provider === undefined || key === undefined) throw new Error('the settings were checked');
  return providers[provider](settings, key, environment);
}

/** It as what a root key lies under. */
export async function openCloudKeyDevice({ settings, environment, terminal }: DeviceSources): Promise<KeyDevice> {
  return createCloudKeyDevice({ kms: await openCloudKms({ settings, environment }), waitMs: settings['backends.cloud.wait'], pause, nowMs: steadyMs, say: terminal?.say ?? (() => undefined) });
}

/** Milliseconds of a clock that nobody sets. */
function steadyMs(): number {
  return Number(systemClock.monotonicNs() / 1_000_000n);
}

/** Read at each call from a file, as an agent renews it there; a variable stays as it is. */
function vaultToken(settings: Settings, environment: DeviceSources['environment']): () => string {
  const path = settings['backends.cloud.token_path'];
  if (path !== undefined) return () => readPrivate(path, 'backends.cloud.token_path').toString('utf8').trim();
  const token = readPassphrase({ variable: settings['backends.cloud.token_env'] ?? 'VAULT_TOKEN', environment, credentialsDirectory: undefined, setting: 'backends.cloud.token_env' });
  if (token === undefined) throw new Error('Vault asks for a token: set backends.cloud.token_path or backends.cloud.token_env');
  return () => token.read(REVEAL).toString('utf8');
}
