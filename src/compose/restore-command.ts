import type { OpenedBackup } from '../adapters/backup-file/read-backup.ts';
import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { Opener, SecretOpener, SecretSealName } from '../adapters/root-key/root-key.ts';
import type { Command, Io, Parsed } from '../cli/command.ts';
import type { Config } from '../config/load.ts';
import type { Instance } from './open-instance.ts';
import type { Carried, Renewed, RestoreDeps } from './restore.ts';
import type { Standing } from './restore-standing.ts';
import type { Places } from './restore-swap.ts';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { measure } from '../adapters/backup-file/write-backup.ts';
import { openBackup, readBackupHeader } from '../adapters/backup-file/read-backup.ts';
import { nodeFiles } from '../adapters/audit-file/file-layer.ts';
import { createKemPrimitives } from '../adapters/crypto/kems.ts';
import { createPoolGate } from '../adapters/crypto/pool-gate.ts';
import { createPublicKeyCache } from '../adapters/crypto/public-key-cache.ts';
import { createSignaturePrimitives } from '../adapters/crypto/signatures.ts';
import { durableFile } from '../adapters/files/durable-file.ts';
import { originOf, readIdentity } from '../adapters/log-keys/identity.ts';
import { closeOpener } from '../adapters/root-key/root-key.ts';
import { makeKeyfile, readKeyfile } from '../adapters/root-key/keyfile.ts';
import { passphraseOf } from '../adapters/root-key/passphrase.ts';
import { rootKeysOf } from '../adapters/root-key/root-keys.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { askHidden } from '../adapters/system/hidden-prompt.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { createSystemRandom } from '../adapters/system/random.ts';
import { print } from '../cli/answer.ts';
import { UsageError } from '../cli/command.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { isOn } from '../cli/flags.ts';
import { inEntries, startProgress } from '../cli/progress.ts';
import { settingAbout, settingOptions, settingsFrom } from '../cli/settings.ts';
import { checkConfig } from '../config/check.ts';
import { reasonOf } from '../core/reason.ts';
import { formatRfc3339 } from '../core/time.ts';
import { backupOpener } from './backup-opener.ts';
import { newPassphrase } from './new-passphrase.ts';
import { INSTANCE_FILES, openerFrom, openInstanceWith } from './open-instance.ts';
import type { Devices } from './devices.ts';
import { createDevices } from './devices.ts';
import { deviceSealOf, openSealDevice } from './seal-device.ts';
import { passphraseTerminal } from './passphrase-terminal.ts';
import { goOn, moveUnder, openStaged, renew, unpack } from './restore.ts';
import { settleAround } from './restore-around.ts';
import { standingOf } from './restore-standing.ts';
import { endSwap, isSwapPending, stagedIn, swapIn } from './restore-swap.ts';

/** `ron-kms restore`: the keys of a backup in the place of those that are there, which are kept beside it. */
export const restoreCommand: Command = {
  name: 'restore',
  args: '<file>',
  summary: 'Put the keys of a backup in the place that the settings name; no service may run there',
  example: 'restore kms-20260101T030000Z-g42.kmsbackup',
  options: { ...settingOptions, 'accept-rollback': { type: 'boolean' }, 'dry-run': { type: 'boolean' }, json: { type: 'boolean' } },
  about: {
    ...settingAbout,
    'accept-rollback': 'though log or anchor know of more than the backup has: begins a new log that names the old one',
    'dry-run': 'read and check all of it, say what would be done, and change nothing',
    json: 'print what was done as JSON',
  },
  async run(parsed, io) {
    const config = settingsFrom(parsed, io);
    checkConfig(config);
    if (config.settings['service.amnesia'] || !SEALED_FILES.has(config.settings['service.backend'])) throw new UsageError('a backup goes to sealed files: set service.backend = "file", "tpm" or "cloud"');
    const places = { auditDir: resolve(io.cwd, config.settings['audit.dir']), sealedDir: resolve(io.cwd, config.settings['backends.file.dir']) };
    const aside = `replaced-${formatRfc3339(systemClock.wallMs()).replace(/[-:]|\.\d+/g, '')}`;
    if (isSwapPending(places)) return finish(parsed, io, { config, places, aside });
    return restore(parsed, io, { config, places, aside });
  },
};

const SEALED_FILES: ReadonlySet<string> = new Set(['file', 'tpm', 'cloud']);

interface Plan {
  readonly config: Config;
  readonly places: Places;
  /** Where what is there goes, below its own directory. */
  readonly aside: string;
}

/** One that was cut off while it put things in place: nothing else was left to be done. */
async function finish(parsed: Parsed, io: Io, { config, places, aside }: Plan): Promise<number> {
  await swapIn(places, aside);
  const { instanceId } = await readIdentity(durableFile(join(places.auditDir, INSTANCE_FILES.identity)));
  const remarks = await settleAround(config, { io, devices: createDevices({ settings: config.settings, environment: io.env }) }, instanceId, aside);
  await endSwap(places);
  print(parsed, io, { finished: true, instance_id: instanceId, remarks }, () => ['a restore that was cut off is done now; nothing was read from the file that you named', ...remarks].join('\n'));
  return EXIT.ok;
}

async function restore(parsed: Parsed, io: Io, plan: Plan): Promise<number> {
  const memory = createLockedMemory();
  const [name = ''] = parsed.args;
  const backup = await openNamed(resolve(io.cwd, name), plan, io, memory);
  const instance: { opened?: Instance; opener?: Opener } = {};
  const devices = createDevices({ settings: plan.config.settings, environment: io.env, terminal: passphraseTerminal(io.err) });
  try {
    const deps = depsOf(plan, { backup, memory, environment: io.env, devices, backupSha256: (await measure(resolve(io.cwd, name))).sha256 });
    for (const directory of Object.values(plan.places)) {
      await rm(stagedIn(directory), { recursive: true, force: true });
      await nodeFiles.mkdir(stagedIn(directory));
    }
    const hasLog = existsSync(join(plan.places.auditDir, INSTANCE_FILES.identity));
    if (hasLog) {
      instance.opener = (await openerFrom(plan.config.settings, { config: plan.config, environment: io.env, credentialsDirectory: io.env['CREDENTIALS_DIRECTORY'], memory, terminal: passphraseTerminal(io.err), devices })).opener;
      instance.opened = await openOwn(plan, backup, instance.opener, memory);
    }
    const standing = await look(deps, instance.opened, io);
    const isRollback = standing.rollback !== undefined;
    if (isOn(parsed, 'dry-run')) return sayDryRun(parsed, io, backup, standing);
    if (isRollback && !isOn(parsed, 'accept-rollback')) {
      throw new Error(`nothing was restored: ${standing.rollback}. With --accept-rollback a new log begins, which names the one before; its verifiers need new keys, and changes since the backup are lost but for destructions and disablements that the log knows`);
    }
    const before = noteIn(plan.places.auditDir);
    if (isRollback || instance.opened === undefined) {
      instance.opener ??= await newOpener(plan.config, { io, devices }, memory);
      const renewed = await renew(deps, instance.opener, standing, progressOf(io, 'sealing anew'));
      await swapUnchanged(plan, before);
      const remarks = await settleAround(plan.config, { io, devices }, renewed.instanceId, plan.aside);
      await endSwap(plan.places);
      return say(parsed, io, plan, deps, { renewed, remarks });
    }
    await moveUnder(deps, instance.opened.rootKeys, progressOf(io, 'sealing anew'));
    await swapUnchanged(plan, before);
    const carried = await goOn(deps, instance.opened);
    await endSwap(plan.places);
    return say(parsed, io, plan, deps, { carried, remarks: [] });
  } finally {
    instance.opened?.rootKeys.destroy();
    if (instance.opener !== undefined) await closeOpener(instance.opener);
    await backup.close();
    await devices.close();
    if (!isSwapPending(plan.places)) for (const directory of Object.values(plan.places)) await rm(stagedIn(directory), { recursive: true, force: true });
  }
}

function depsOf({ config, places }: Plan, given: Pick<RestoreDeps, 'backup' | 'memory' | 'environment' | 'devices' | 'backupSha256'>): RestoreDeps {
  const { memory } = given;
  const publicKeys = createPublicKeyCache(1);
  const primitives = { signatures: createSignaturePrimitives({ memory, gate: createPoolGate(1), publicKeys }), kems: createKemPrimitives(publicKeys) };
  return { ...given, config, places, clock: systemClock, random: createSystemRandom(), signatures: primitives.signatures, parts: { primitives, memory } };
}

async function openNamed(path: string, { config: { settings } }: Plan, io: Io, memory: LockedMemory): Promise<OpenedBackup> {
  const { seal } = await readBackupHeader(path).catch(unrestorable);
  const given = backupOpener({ settings, environment: io.env, memory }, seal) ?? await askedFor(seal);
  return openBackup(path, given.secret, memory).catch(unrestorable).finally(() => given.secret.destroy());
}

function unrestorable(fault: unknown): never {
  throw new Error(`the backup cannot be restored: ${reasonOf(fault)}; nothing was changed`, { cause: fault });
}

async function askedFor(seal: SecretSealName): Promise<SecretOpener> {
  if (seal === 'keyfile') throw new UsageError('the backup lies under a key file: say with --backup-keyfile-path where it is');
  const [typed] = await askHidden(['Passphrase of the backup: ']) ?? [];
  if (typed === undefined) throw new UsageError('the backup lies under a passphrase, and there is nobody to ask: say with --backup-passphrase-env which variable has it');
  return { seal, secret: passphraseOf(typed) };
}

/** The instance that is there. Another one than the backup's is not overwritten, whatever is accepted. */
async function openOwn({ places: { auditDir } }: Plan, { header }: OpenedBackup, opener: Opener, memory: LockedMemory): Promise<Instance> {
  const { instanceId } = await readIdentity(durableFile(join(auditDir, INSTANCE_FILES.identity)));
  if (instanceId !== header.instance_id) throw new Error(`the backup is of ${originOf(header.instance_id)}, and audit.dir holds the log of ${originOf(instanceId)}: restore into other directories, or move what is there away`);
  return openInstanceWith(opener, { directory: auditDir, instanceId, memory });
}

/** What the new root key is to lie under, where no root key is there. */
async function newOpener({ settings }: Config, { io, devices }: { readonly io: Io; readonly devices: Devices }, memory: LockedMemory): Promise<Opener> {
  const device = deviceSealOf(settings);
  if (device !== undefined) return { seal: device, device: await openSealDevice(device, { settings, environment: io.env, terminal: passphraseTerminal(io.err) }, devices) };
  const keyfile = settings['backends.file.keyfile_path'];
  if (settings['backends.file.seal'] === 'keyfile' && keyfile !== undefined) {
    if (!existsSync(resolve(io.cwd, keyfile))) return { seal: 'keyfile', secret: await makeKeyfile(resolve(io.cwd, keyfile), memory) };
    return { seal: 'keyfile', secret: readKeyfile(resolve(io.cwd, keyfile), memory) };
  }
  return { seal: 'passphrase', kdf: settings['backends.file.kdf'], secret: await newPassphrase({ variable: settings['backends.file.passphrase_env'], fd: settings['backends.file.passphrase_fd'] }, io) };
}

/** Unpacks and checks the backup, and holds it against what is there. */
async function look(deps: RestoreDeps, instance: Instance | undefined, io: Io): Promise<Standing> {
  const { backup: { header, manifest, rootKeys }, memory } = deps;
  const unpacking = startProgress(io, 'unpacking', manifest.database.bytes);
  await unpack(deps, unpacking.advance).catch(unrestorable);
  unpacking.end();
  const store = await openStaged(deps, rootKeysOf(rootKeys, header.instance_id, memory));
  try {
    const fault = store.integrity();
    if (fault !== undefined) throw new Error(`the store in the backup is not as the service left it: ${fault.what}; nothing was changed`);
    const progress = progressOf(io, 'checking the log');
    return await standingOf({ ...deps, instance, store, onProgress: (done, total) => progress(total - done, total) });
  } finally {
    await store.close();
  }
}

/** A service that ran meanwhile has written a checkpoint. */
async function swapUnchanged({ places, aside }: Plan, before: string | undefined): Promise<void> {
  if (noteIn(places.auditDir) !== before) throw new Error('a service has written to audit.dir meanwhile: stop it, and begin again; nothing was changed');
  await swapIn(places, aside);
}

function noteIn(auditDir: string): string | undefined {
  return nodeFiles.readNow(join(auditDir, 'checkpoint'))?.toString('latin1');
}

function progressOf(io: Io, what: string): (left: number, total: number) => void {
  let progress: ReturnType<typeof startProgress> | undefined;
  let at = 0;
  return (left, total) => {
    progress ??= startProgress(io, what, total, inEntries);
    progress.advance(total - left - at);
    at = total - left;
    if (left === 0) progress.end();
  };
}

function sayDryRun(parsed: Parsed, io: Io, { header, manifest }: OpenedBackup, { rollback, replaces }: Standing): number {
  print(parsed, io, { instance_id: header.instance_id, created_at: header.created_at, generation: manifest.generation, records: manifest.records, needs_accept_rollback: rollback !== undefined, ...(rollback !== undefined && { rollback, replaces }) }, () => [
    `a whole backup of ${originOf(header.instance_id)}, made ${header.created_at}: ${manifest.records} key versions, generation ${manifest.generation}`,
    rollback === undefined ? 'nothing is newer than it: ron-kms restore puts it in place, and the log goes on' : `it takes --accept-rollback: ${rollback}`,
  ].join('\n'));
  return EXIT.ok;
}

interface Done {
  readonly renewed?: Renewed;
  readonly carried?: Carried;
  readonly remarks: readonly string[];
}

function say(parsed: Parsed, io: Io, { aside }: Plan, { backup: { header, manifest } }: RestoreDeps, { renewed, carried, remarks }: Done): number {
  const { ends, lost, unwrapOnly } = renewed ?? carried ?? { ends: [], lost: [], unwrapOnly: 0 };
  const vkeys = renewed?.keys.map(({ vkey, alg }) => ({ vkey, alg }));
  print(parsed, io, {
    records: manifest.records, generation: manifest.generation, unwrap_only: unwrapOnly, kept_in: aside,
    ...(renewed && { instance_id: renewed.instanceId, origin: originOf(renewed.instanceId), replaces: originOf(header.instance_id), keys: vkeys, ended_again: ends.map(({ base, version, state }) => ({ kid: `${base}#v${version}`, state })), lost }),
    ...(remarks.length > 0 && { remarks }),
  }, () => [
    `${manifest.records} key versions of ${header.created_at} are in place; what was there lies in ${aside} beside it`,
    ...(unwrapOnly === 0 ? [] : [`${unwrapOnly} AEAD versions only unwrap from now on: the next wrap makes a new one`]),
    ...(renewed === undefined ? [] : [
      `a new log begins, ${originOf(renewed.instanceId)}; its first entry names the one before`, ...(vkeys ?? []).map(({ vkey }) => `  pin  ${vkey}`),
      ...(ends.length === 0 ? [] : [`held or destroyed again, as the log before knew it: ${ends.length}`, ...ends.map(({ base, version, state }) => `  ${state}  ${base}#v${version}`)]),
      ...(lost.length === 0 ? [] : [`made since the backup, and lost: ${lost.length}`, ...lost.map((kid) => `  ${kid}`)]),
    ]),
    ...remarks,
  ].join('\n'));
  return EXIT.ok;
}
