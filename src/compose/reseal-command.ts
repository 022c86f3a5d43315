import type { Command, Io, Parsed } from '../cli/command.ts';
import type { Opener } from '../adapters/root-key/root-key.ts';
import type { LockedMemory } from '../adapters/system/locked-memory.ts';
import type { Settings } from '../config/keys.ts';
import type { Devices } from './devices.ts';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { nodeFiles } from '../adapters/audit-file/file-layer.ts';
import { takeLock } from '../adapters/audit-file/lock.ts';
import { durableFile } from '../adapters/files/durable-file.ts';
import { readIdentity } from '../adapters/log-keys/identity.ts';
import { deviceSealNames } from '../adapters/root-key/key-device.ts';
import { nextPathOf, resealRootKey } from '../adapters/root-key/keychain.ts';
import { makeKeyfile } from '../adapters/root-key/keyfile.ts';
import { closeOpener } from '../adapters/root-key/root-key.ts';
import { createLockedMemory } from '../adapters/system/locked-memory.ts';
import { systemProcesses } from '../adapters/system/processes.ts';
import { print } from '../cli/answer.ts';
import { UsageError } from '../cli/command.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { flag, oneOf } from '../cli/flags.ts';
import { settingAbout, settingOptions, settingsFrom } from '../cli/settings.ts';
import { checkConfig } from '../config/check.ts';
import { createDevices } from './devices.ts';
import { newPassphrase } from './new-passphrase.ts';
import { INSTANCE_FILES, openerFrom } from './open-instance.ts';
import { passphraseTerminal } from './passphrase-terminal.ts';
import { openSealDevice } from './seal-device.ts';

const seals = ['passphrase', 'keyfile', ...deviceSealNames] as const;
type Seal = (typeof seals)[number];

/** `ron-kms rekey seal`: the same root key under something else, while nothing serves: a new passphrase, a TPM, PCRs as they are now. */
export const resealCommand: Command = {
  name: 'rekey seal',
  summary: 'Put the root key under another passphrase, key file or device, while the service is stopped',
  example: 'rekey seal --to tpm',
  options: { ...settingOptions, to: { type: 'string' }, 'new-passphrase-env': { type: 'string' }, 'new-keyfile-path': { type: 'string' }, json: { type: 'boolean' } },
  about: {
    ...settingAbout,
    to: 'passphrase, keyfile, tpm, pkcs11 or cloud; what stands in backends.<name> says which device',
    'new-passphrase-env': 'name of the variable with the new passphrase; asked for when left out',
    'new-keyfile-path': 'the key file to make',
    json: 'print what was done as JSON',
  },
  async run(parsed, io) {
    const to = oneOf(parsed, 'to', seals);
    if (to === undefined) throw new UsageError('--to is missing: passphrase, keyfile, tpm, pkcs11 or cloud');
    const config = settingsFrom(parsed, io);
    const { settings } = config;
    if (settings['service.backend'] === 'inmem') throw new UsageError('service.backend = "inmem" has no root key on disk');
    const directory = resolve(io.cwd, settings['audit.dir']);
    const release = await takeLock(nodeFiles, directory, systemProcesses);
    const terminal = passphraseTerminal(io.err);
    const memory = createLockedMemory();
    const devices = createDevices({ settings, environment: io.env, terminal });
    const opened: Opener[] = [];
    try {
      const { instanceId } = await readIdentity(durableFile(join(directory, INSTANCE_FILES.identity)));
      const path = join(directory, INSTANCE_FILES.rootKey);
      if (existsSync(nextPathOf(path))) throw new UsageError('a move to the next root key is not done: start the service, and let it end');
      const { opener: from } = await openerFrom(settings, { config, environment: io.env, credentialsDirectory: io.env['CREDENTIALS_DIRECTORY'], memory, terminal, devices });
      opened.push(from);
      const under = await newOpener(to, parsed, { io, settings, devices, memory });
      opened.push(under);
      await resealRootKey({ path, instanceId, opener: from, memory }, under);
      // What the next start will say of it is said now.
      const lines = settingLines(to, parsed, io);
      const left = faultOf(() => checkConfig({ ...config, settings: { ...settings, 'backends.file.seal': to } }));
      print(parsed, io, { seal: to, set: lines, ...(left !== undefined && { left }) }, () => [
        `the root key lies under ${to === 'keyfile' || to === 'passphrase' ? `a ${to}` : to} now. Before the next start, set:`, ...lines.map((line) => `  ${line}`), ...(left === undefined ? [] : [`and: ${left}`]),
      ].join('\n'));
      return EXIT.ok;
    } finally {
      for (const opener of opened) await closeOpener(opener);
      await devices.close();
      await release();
    }
  },
};

async function newOpener(to: Seal, parsed: Parsed, { io, settings, devices, memory }: { readonly io: Io; readonly settings: Settings; readonly devices: Devices; readonly memory: LockedMemory }): Promise<Opener> {
  if (to === 'passphrase') return { seal: to, kdf: settings['backends.file.kdf'], secret: await newPassphrase({ variable: flag(parsed, 'new-passphrase-env'), fd: undefined }, io) };
  if (to === 'keyfile') return { seal: to, secret: await makeKeyfile(keyfilePath(parsed, io), memory) };
  return { seal: to, device: await openSealDevice(to, { settings, environment: io.env, terminal: passphraseTerminal(io.err) }, devices) };
}

function keyfilePath(parsed: Parsed, { cwd }: Io): string {
  const path = flag(parsed, 'new-keyfile-path');
  if (path === undefined) throw new UsageError('--new-keyfile-path is missing: where the key file is to be made');
  if (existsSync(resolve(cwd, path))) throw new UsageError(`${path} is there already, and is not overwritten`);
  return resolve(cwd, path);
}

function settingLines(to: Seal, parsed: Parsed, io: Io): readonly string[] {
  const variable = flag(parsed, 'new-passphrase-env');
  return [
    `backends.file.seal = "${to}"`,
    ...(to === 'keyfile' ? [`backends.file.keyfile_path = "${keyfilePathOf(parsed, io)}"`] : []),
    ...(to === 'passphrase' && variable !== undefined ? [`backends.file.passphrase_env = "${variable}"`] : []),
  ];
}

function keyfilePathOf(parsed: Parsed, { cwd }: Io): string {
  return resolve(cwd, flag(parsed, 'new-keyfile-path') ?? '');
}

function faultOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (fault) {
    return fault instanceof Error ? fault.message : 'the settings do not fit together';
  }
}
