import type { Finding } from '../cli/doctor-finding.ts';
import type { Io } from '../cli/command.ts';
import type { Config } from '../config/load.ts';
import type { AnchorRecord } from '../adapters/anchor-file/record.ts';
import type { LogVerdict } from '../adapters/audit-check/check-log.ts';
import type { Instance } from './open-instance.ts';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseVkey } from '../../client/src/log/vkey.ts';
import { readAnchorRecord } from '../adapters/anchor-file/record.ts';
import { checkWholeLog } from '../adapters/audit-check/check-log.ts';
import { describeFault } from '../adapters/audit-check/faults.ts';
import { createPoolGate } from '../adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../adapters/crypto/signatures.ts';
import { durableFile } from '../adapters/files/durable-file.ts';
import { openLogSigner } from '../adapters/log-keys/open.ts';
import { generationOf, inspectStore } from '../adapters/store-file/inspect.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import type { Devices } from './devices.ts';
import { createDevices } from './devices.ts';
import { examineDevices } from './doctor-devices.ts';
import { INSTANCE_FILES, openInstance } from './open-instance.ts';
import { reasonOf } from '../core/reason.ts';

const memory = createLockedMemory();

/** What `ron-kms init` made and a service keeps: whether it opens, and whether keys and log are as they were left. */
export async function examineInstance(config: Config, io: Io): Promise<readonly Finding[]> {
  if (config.settings['service.amnesia']) return [];
  const devices = createDevices({ settings: config.settings, environment: io.env });
  try {
    const found = await examineDevices({ settings: config.settings, devices, environment: io.env });
    // A PIN that is wrong is tried once: each try counts.
    return found.some(({ level }) => level === 'wrong') ? found : [...found, ...await examineWith(devices, config, io)];
  } finally {
    await devices.close();
  }
}

async function examineWith(devices: Devices, config: Config, io: Io): Promise<readonly Finding[]> {
  let instance: Instance;
  try {
    instance = await openInstance({ config, memory, devices, environment: io.env, credentialsDirectory: io.env['CREDENTIALS_DIRECTORY'] });
  } catch (fault) {
    return [{ name: 'root key', level: 'wrong', says: reasonOf(fault), advice: 'give what the service is given: the passphrase, the key file, or the device that it lies under' }];
  }
  try {
    const sealedDir = resolve(io.cwd, config.settings['backends.file.dir']);
    const store = examineStore(config.settings, sealedDir, instance);
    return [{ name: 'root key', level: 'ok', says: 'it opens' }, ...store.findings, await examineLog(config, instance, store.generation, () => generationOf(sealedDir))];
  } finally {
    instance.rootKeys.destroy();
  }
}

/** What the file of the anchor says, where there is one; that it is authentic, only a start can tell. */
function anchorFileOf(settings: Config['settings']): AnchorRecord | undefined {
  const path = settings['audit.anchor_path'];
  return settings['audit.anchor'] === 'file' && path !== undefined && existsSync(path) ? readAnchorRecord(readFileSync(path)) : undefined;
}

function examineStore(settings: Config['settings'], directory: string, { rootKeys }: Instance): { readonly findings: readonly Finding[]; readonly generation: number | undefined } {
  if (settings['service.backend'] === 'inmem') return { findings: [], generation: undefined };
  const store = inspectStore(directory, rootKeys);
  const name = 'keys';
  if (store === undefined) return { findings: [{ name, level: 'wrong', says: `there is no store in ${directory}`, advice: 'put it back, or say with backends.file.dir where it is' }], generation: 0 };
  if (store.fault !== undefined) return { findings: [{ name, level: 'wrong', says: store.fault.what, advice: 'docs/operations.md, "The keys are at odds"' }], generation: undefined };
  return { findings: [{ name, level: 'ok', says: `${store.records} versions, generation ${store.generation}` }], generation: store.generation };
}

async function examineLog({ settings }: Config, instance: Instance, storeGeneration: number | undefined, generationNow: () => number): Promise<Finding> {
  const name = 'log';
  try {
    const signatures = createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys: createPublicKeyCache(1) });
    const directory = settings['audit.dir'];
    const signer = await openLogSigner({ ...instance, file: durableFile(join(directory, INSTANCE_FILES.logKeys)), signatures, memory, keyOverlapMs: settings['audit.key_overlap'], isLookingOnly: true });
    const leftBehind = signer.keys().find(({ heldBy, untilIndex }) => heldBy !== undefined && untilIndex === undefined)?.heldBy;
    if (leftBehind !== undefined && ![settings['service.backend'], ...settings['service.read_backends'] ?? []].includes('pkcs11')) {
      return { name, level: 'wrong', says: `a log key is held by a token (${leftBehind['label']}) that is not in use`, advice: 'list "pkcs11" in service.read_backends; docs/runbooks/moving.md, "Back to files"' };
    }
    if (!existsSync(join(directory, 'checkpoint')) && storeGeneration === 0) return { name, level: 'ok', says: 'it has not begun' };
    const vkeys = signer.keys().flatMap(({ vkey }) => parseVkey(vkey) ?? []);
    const check = async (anchor: AnchorRecord | undefined): Promise<LogVerdict> => {
      const verdict = await checkWholeLog({
        directory, vkeys, jobs: 1,
        known: {
          ...(storeGeneration !== undefined && { storeGeneration: { before: storeGeneration, now: generationNow } }),
          ...(anchor !== undefined && { anchor: { origin: anchor.origin, value: anchor.value, head: { size: anchor.head.treeSize, rootHash: anchor.head.rootHash } } }),
        },
      });
      // A service at work has advanced it meanwhile, and holds the log against it by itself: once more without, or a busy one would never be done with.
      return anchorFileOf(settings)?.value === anchor?.value || anchor === undefined ? verdict : check(undefined);
    };
    const { faults: [first], size } = await check(anchorFileOf(settings));
    return first === undefined ? { name, level: 'ok', says: `${size} entries` } : { name, level: 'wrong', says: describeFault(first), advice: 'ron-kms audit verify tells all of it; docs/operations.md says what helps' };
  } catch (fault) {
    return { name, level: 'wrong', says: reasonOf(fault), advice: 'docs/operations.md says what helps' };
  }
}
