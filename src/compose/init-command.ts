import type { Command, Io, Parsed } from '../cli/command.ts';
import type { Initialised } from './init-files.ts';
import type { InitPlan } from './init-plan.ts';
import { join } from 'node:path';
import { originOf } from '../adapters/log-keys/identity.ts';
import { print } from '../cli/answer.ts';
import { EXIT } from '../cli/exit-codes.ts';
import { makeInstance } from './init-files.ts';
import { planFrom, requireFree } from './init-plan.ts';
import { deviceAbout, deviceOptions } from './init-devices.ts';
import { passphraseTerminal } from './passphrase-terminal.ts';
import { newPassphrase } from './new-passphrase.ts';

/** `ron-kms init`: what a service with keys and a log on disk needs before its first start. It overwrites nothing. */
export const initCommand: Command = {
  name: 'init',
  summary: 'Make a root key, the identity of a log, its keys, and settings to serve with',
  example: 'init --seal keyfile --dev-keyset',
  options: {
    'audit-dir': { type: 'string' }, 'sealed-dir': { type: 'string' }, backend: { type: 'string' }, anchor: { type: 'string' }, seal: { type: 'string' }, kdf: { type: 'string' }, 'keyfile-path': { type: 'string' }, 'passphrase-env': { type: 'string' }, 'passphrase-fd': { type: 'string' },
    ...deviceOptions, config: { type: 'string' }, 'dev-keyset': { type: 'boolean' }, json: { type: 'boolean' },
  },
  about: {
    'audit-dir': 'where the log is to lie; ./kms-audit when left out',
    'sealed-dir': 'where the keys are to lie, sealed; ./kms-sealed when left out',
    backend: 'who is to hold the keys: file, pkcs11, tpm or cloud; seal and anchor follow it',
    seal: 'what the root key lies under: passphrase (asked for), keyfile, tpm, pkcs11 or cloud',
    anchor: 'what is to show a disk that was rolled back: none, tpm or pkcs11',
    ...deviceAbout,
    kdf: 'what stretches the passphrase: argon2id, or scrypt',
    'keyfile-path': 'the key file to make; ./kms-root.key when left out',
    'passphrase-env': 'name of the variable with the passphrase',
    'passphrase-fd': 'file descriptor with the passphrase, 0 for standard input',
    config: 'the settings file to write; ./kms.toml when left out',
    'dev-keyset': 'make a key set too, and print a day\'s token of it: for a developer\'s machine',
    json: 'print the identity and its public keys as JSON',
  },
  async run(parsed, io) {
    const plan = planFrom(parsed, io);
    await requireFree(plan);
    const passphrase = plan.seal === 'passphrase' ? await newPassphrase({ variable: plan.passphraseEnv, fd: plan.passphraseFd }, io) : undefined;
    const made = await makeInstance(plan, passphrase, { environment: io.env, terminal: passphraseTerminal(io.err) });
    say(parsed, io, plan, made);
    return EXIT.ok;
  },
};

function say(parsed: Parsed, io: Io, plan: InitPlan, { instanceId, keys, token, attestationKey, steps }: Initialised): void {
  const origin = originOf(instanceId);
  const vkeys = keys.map(({ vkey, alg }) => ({ vkey, alg }));
  print(parsed, io, { instance_id: instanceId, origin, keys: vkeys, ...(attestationKey !== undefined && { attestation_key: attestationKey }), ...(token !== undefined && { token }) }, () => [
    `${origin} is made; its keys will lie in ${plan.sealedDir}, its log in ${plan.auditDir}`, '',
    'Pin these keys wherever the log is checked; take them from here, not from the service:',
    ...vkeys.map(({ vkey }) => `  ${vkey}`), '',
    ...(attestationKey === undefined ? [] : ['Pin this key wherever evidence is checked (ron-kms attest verify):', `  ${attestationKey}`, '']),
    ...steps.flatMap((step) => [step, '']),
    ...(steps.length > 0 && plan.seal !== 'passphrase' && plan.seal !== 'keyfile' ? [] : [`Without ${plan.keyfilePath ?? 'the passphrase'} every key is lost, and the log can be read and checked only: keep a copy of it elsewhere.`, '']),
    ...(token === undefined ? ['Set auth.keyset_path to the key set that ron-auth lends, or make one with ron-kms token new-keyset.', ''] : ['A day\'s token for tenant demo:', `  export RON_KMS_TOKEN=${token}`, '']),
    'Start it with:',
    `  ${startLine(plan, io)}`,
  ].join('\n'));
}

function startLine({ seal, configPath, passphraseEnv }: InitPlan, { cwd }: Io): string {
  const serve = configPath === join(cwd, 'kms.toml') ? 'ron-kms serve' : `ron-kms serve --config ${configPath}`;
  return seal === 'passphrase' && passphraseEnv === undefined ? `${serve}    (it asks for the passphrase; backends.file.passphrase_env or _fd give it without a terminal)` : serve;
}
