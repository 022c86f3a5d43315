import type { RootKeys } from '../adapters/root-key/root-keys.ts';
import type { Opener } from '../adapters/root-key/root-key.ts';
import type { LogKey } from '../ports/audit-reader.ts';
import type { Secret } from '../core/secret.ts';
import type { Settings } from '../config/keys.ts';
import type { Devices } from './devices.ts';
import type { DeviceSources } from './device-sources.ts';
import type { InitPlan } from './init-plan.ts';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createPoolGate } from '../adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../adapters/crypto/signatures.ts';
import { formatIdentity } from '../adapters/log-keys/identity.ts';
import { makeLogKeys } from '../adapters/log-keys/open.ts';
import { createDurably, durableFile, flushDirectory } from '../adapters/files/durable-file.ts';
import { makeKeyfile } from '../adapters/root-key/keyfile.ts';
import { closeOpener, makeRootKey, sealRootKey } from '../adapters/root-key/root-key.ts';
import { FIRST_EPOCH, rootKeysOf } from '../adapters/root-key/root-keys.ts';
import { DATABASE_NAME } from '../adapters/store-file/database.ts';
import { openFileStore } from '../adapters/store-file/store.ts';
import { systemProcesses } from '../adapters/system/processes.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { createSystemRandom } from '../adapters/system/random.ts';
import { checkConfig } from '../config/check.ts';
import { configKeys } from '../config/keys.ts';
import { loadConfig } from '../config/load.ts';
import { formatRfc3339 } from '../core/time.ts';
import { createDevices } from './devices.ts';
import { logDevicesOf } from './evidence.ts';
import { inFlags, makeCounter, stepsOf } from './init-devices.ts';
import { deviceSealOf, openSealDevice } from './seal-device.ts';
import { mintDemoToken } from './demo-token.ts';
import { INSTANCE_FILES } from './open-instance.ts';

export interface Initialised {
  readonly instanceId: string;
  readonly keys: readonly LogKey[];
  /** For tenant `demo`, when a developer's key set was asked for. */
  readonly token: string | undefined;
  /** Where a device gives evidence. */
  readonly attestationKey: string | undefined;
  /** What was made on devices, in words. */
  readonly steps: readonly string[];
}

const PRIVATE_DIRECTORY = 0o700;

/**
 * Makes root key, log keys, settings and, last of all, the identity: without it nothing of this counts. A fault
 * takes back what was made; what a crash leaves is refused by the next init, and by every service.
 */
export async function makeInstance(plan: InitPlan, passphrase: Secret | undefined, sources: Omit<DeviceSources, 'settings'>): Promise<Initialised> {
  const random = createSystemRandom();
  const instanceId = random.uuidv7();
  const toml = settingsText(plan, instanceId);
  const config = loadConfig({ file: { path: plan.configPath, text: toml }, environment: {}, flags: {} });
  try {
    checkConfig(config);
  } catch (fault) {
    throw inFlags(fault);
  }
  const { settings } = config;
  const devices = createDevices({ ...sources, settings });

  const made: string[] = [];
  const undo: (() => Promise<unknown>)[] = [];
  const create = async (path: string, content: string): Promise<void> => {
    await createDurably(path, content);
    made.push(path);
  };
  try {
    made.push(...await makeDirectory(plan.auditDir, Object.values(INSTANCE_FILES).flatMap((name) => [name, `${name}.tmp`])));
    made.push(...await makeDirectory(plan.sealedDir, [DATABASE_NAME, `${DATABASE_NAME}-wal`, `${DATABASE_NAME}-shm`, 'lock']));
    const keys = await makeKeys(plan, instanceId, passphrase, { made, undo, settings, sources, devices });
    const token = plan.keysetPath === undefined ? undefined : await makeKeyset(plan.keysetPath, create);
    await create(plan.configPath, toml);
    await create(join(plan.auditDir, INSTANCE_FILES.identity), formatIdentity({ instanceId, createdAt: formatRfc3339(systemClock.wallMs()) }));
    await flushDirectory(dirname(plan.auditDir));
    await flushDirectory(dirname(plan.sealedDir));
    return { instanceId, keys, token, attestationKey: keys.at(-1)?.attestation?.key, steps: stepsOf(settings) };
  } catch (fault) {
    for (const takeBack of undo.toReversed()) await takeBack().catch(() => undefined);
    for (const path of made.toReversed()) await rm(path, { recursive: true, force: true }).catch(() => undefined);
    throw new Error(`${fault instanceof Error ? fault.message : 'it failed'}; what was made is taken back`, { cause: fault });
  } finally {
    await devices.close();
  }
}

interface Making {
  /** Paths, and what else is to be taken back where it comes to nothing. */
  readonly made: string[];
  readonly undo: (() => Promise<unknown>)[];
  readonly settings: Settings;
  readonly sources: Omit<DeviceSources, 'settings'>;
  readonly devices: Devices;
}

/** What to take back: the first directory that had to be made, or, where it was there and empty, what comes into it. */
async function makeDirectory(path: string, names: readonly string[]): Promise<readonly string[]> {
  const first = await mkdir(path, { recursive: true, mode: PRIVATE_DIRECTORY });
  await chmod(path, PRIVATE_DIRECTORY);
  return first === undefined ? names.map((name) => join(path, name)) : [first];
}

async function makeKeys({ auditDir, sealedDir, keyfilePath, kdf }: InitPlan, instanceId: string, passphrase: Secret | undefined, { made, undo, settings, sources, devices }: Making): Promise<readonly LogKey[]> {
  const memory = createLockedMemory();
  const signatures = createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys: createPublicKeyCache(1) });
  const opener = await openerFor(keyfilePath, passphrase);
  const rootKey = makeRootKey(memory);
  const rootKeys = rootKeysOf([{ epoch: FIRST_EPOCH, key: rootKey }], instanceId, memory);
  try {
    await durableFile(join(auditDir, INSTANCE_FILES.rootKey)).replace(await sealRootKey(rootKey, instanceId, opener, memory));
    if (settings['service.backend'] === 'pkcs11') await (await devices.token()).haveOwnKeys(true);
    const signer = await makeLogKeys({
      file: durableFile(join(auditDir, INSTANCE_FILES.logKeys)), instanceId, rootKeys, signatures, memory,
      keyOverlapMs: configKeys['audit.key_overlap'].fallback, nowMs: systemClock.wallMs(), devicesFor: await logDevicesOf(settings, devices),
    });
    if (settings['audit.anchor'] === 'tpm') undo.push(await makeCounter(settings, devices, signer));
    await makeStore(sealedDir, rootKeys);
    return signer.keys();
  } finally {
    rootKey.destroy();
    await closeOpener(opener);
  }

  async function openerFor(path: string | undefined, given: Secret | undefined): Promise<Opener> {
    if (given !== undefined) return { seal: 'passphrase', secret: given, kdf };
    const device = deviceSealOf(settings);
    if (device !== undefined) return { seal: device, device: await openSealDevice(device, { ...sources, settings }, devices) };
    if (path === undefined) throw new Error('a root key needs something to lie under');
    const secret = await makeKeyfile(path, memory);
    made.push(path);
    return { seal: 'keyfile', secret };
  }
}

async function makeStore(directory: string, rootKeys: RootKeys): Promise<void> {
  const store = await openFileStore({ directory, rootKeys, mayCreate: true, cacheKeysMax: 1, processes: systemProcesses });
  await store.close();
  await flushDirectory(directory);
}

async function makeKeyset(path: string, create: (path: string, content: string) => Promise<void>): Promise<string> {
  const { rootKeyId, secret, token } = mintDemoToken(createSystemRandom(), systemClock);
  await create(path, `${JSON.stringify({ keys: [{ id: rootKeyId, secret_b64: secret.toString('base64') }] })}\n`);
  secret.fill(0);
  return token;
}

/** The settings that start a service on what is made here. TOML takes the strings of JSON as they are. */
function settingsText({ auditDir, sealedDir, backend, seal, anchor, devices, kdf, keyfilePath, passphraseEnv, keysetPath }: InitPlan, instanceId: string): string {
  return [
    '# Made by ron-kms init; ron-kms config print shows every setting there is.', '',
    '[service]',
    line('backend', backend), line('instance_id', instanceId), '',
    '[audit]',
    line('dir', auditDir), line('durability', 'disk'),
    ...(anchor === 'none' ? ['# "file" with anchor_path on another medium, "witness", "tpm" or "pkcs11" shows that the disk was rolled back.'] : []),
    line('anchor', anchor), '',
    '[backends.file]',
    line('dir', sealedDir), line('seal', seal),
    ...(seal === 'passphrase' ? [line('kdf', kdf)] : keyfilePath === undefined ? [] : [line('keyfile_path', keyfilePath)]),
    ...(seal === 'passphrase' ? [passphraseEnv === undefined ? '# passphrase_env = "KMS_PASSPHRASE"' : line('passphrase_env', passphraseEnv)] : []), '',
    ...deviceSections(devices),
    '[auth]',
    keysetPath === undefined ? '# keyset_path = "/run/ron-kms/keyset.json"' : line('keyset_path', keysetPath), '',
  ].join('\n');
}

function deviceSections(lines: InitPlan['devices']): readonly string[] {
  const sections = new Map<string, string[]>();
  for (const [path, value] of lines) {
    const [section, name] = [path.slice(0, path.lastIndexOf('.')), path.slice(path.lastIndexOf('.') + 1)];
    sections.set(section, [...(sections.get(section) ?? []), `${name} = ${value}`]);
  }
  return [...sections].map(([section, own]) => [`[${section}]`, own.join('\n'), ''].join('\n'));
}

function line(name: string, value: string): string {
  return `${name} = ${JSON.stringify(value)}`;
}
