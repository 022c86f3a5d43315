import type { Finding } from '../cli/doctor-finding.ts';
import type { DeviceSealName } from '../adapters/root-key/key-device.ts';
import type { TokenDevice } from '../adapters/custody-pkcs11/device.ts';
import type { Settings } from '../config/keys.ts';
import type { Devices } from './devices.ts';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { deviceSealNames } from '../adapters/root-key/key-device.ts';
import { describeTpm } from '../adapters/tpm/describe.ts';
import { reasonOf } from '../core/reason.ts';
import { openCloudKms } from './cloud.ts';

interface Examining {
  readonly settings: Settings;
  readonly devices: Devices;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const PROBE_CONTEXT = 'ron-kms doctor';
const PROBE_BYTES = 32;

/** PKCS #11 3.0 and 3.2: what the service uses where it is there. */
const MECHANISMS = [
  { name: 'Ed25519', codes: [0x1057], without: 'Ed25519 keys, and the log\'s, need it' },
  { name: 'X25519', codes: [0x1050, 0x1051], without: 'X25519 keys need it' },
  { name: 'AES-GCM', codes: [0x1087], without: 'all that the token has no mechanism for is sealed by it' },
] as const;
const ML_DSA = 0x1d;

const examiners: Readonly<Record<DeviceSealName, (examining: Examining) => Promise<readonly Finding[]>>> = { pkcs11: examineToken, tpm: examineTpm, cloud: examineCloud };

/** The devices that the settings use, one after the other: whether each is there, does its work, and what to do where it does not. */
export async function examineDevices(examining: Examining): Promise<readonly Finding[]> {
  const { settings } = examining;
  const inUse = [settings['service.backend'], settings['backends.file.seal'], settings['audit.anchor'], ...settings['service.read_backends'] ?? []] as readonly string[];
  const findings: Finding[] = [];
  for (const name of deviceSealNames.filter((one) => inUse.includes(one))) findings.push(...await examiners[name](examining));
  return findings;
}

async function examineToken({ settings, devices }: Examining): Promise<readonly Finding[]> {
  const path = settings['backends.pkcs11.module_path'] ?? '';
  const label = settings['backends.pkcs11.slot_label'] ?? '';
  if (!existsSync(path)) return [{ name: 'PKCS #11 module', level: 'wrong', says: `${path} is not there`, advice: 'install the vendor\'s module, or say with backends.pkcs11.module_path where it is' }];
  let token: TokenDevice;
  try {
    token = await devices.token();
  } catch (fault) {
    return [{ name: 'PKCS #11 token', level: 'wrong', says: reasonOf(fault), advice: adviceFor(reasonOf(fault), label) }];
  }
  const { manufacturer, model, serial, firmware, slot, mechanisms } = await token.facts();
  const missing = MECHANISMS.filter(({ codes }) => !codes.some((code) => mechanisms.includes(code)));
  return [
    { name: 'PKCS #11 token', level: 'ok', says: `${label} in ${slot}: ${manufacturer} ${model}, serial ${serial}, firmware ${firmware}; the PIN is right` },
    missing.length === 0
      ? { name: 'PKCS #11 mechanisms', level: 'ok', says: `${MECHANISMS.map(({ name }) => name).join(', ')}${mechanisms.includes(ML_DSA) ? ', ML-DSA' : '; no ML-DSA, which is sealed by the token (pkcs11-wrapped)'}` }
      : { name: 'PKCS #11 mechanisms', level: 'wrong', says: missing.map(({ name, without }) => `no ${name}: ${without}`).join('; '), advice: 'turn them on with the vendor\'s tools, or take another token' },
    ...settings['service.backend'] === 'pkcs11' ? [await examineOwnKeys(token)] : [],
  ];
}

async function examineOwnKeys(token: TokenDevice): Promise<Finding> {
  try {
    await token.haveOwnKeys(false);
    await token.probe();
    return { name: 'PKCS #11 keys', level: 'ok', says: 'the service\'s own keys are there, and sign' };
  } catch (fault) {
    return { name: 'PKCS #11 keys', level: 'wrong', says: reasonOf(fault), advice: 'put the token back that the keys were made on; a new one holds none of them (docs/runbooks/pkcs11.md)' };
  }
}

/** By the CKR_ code that the module gave. */
function adviceFor(says: string, label: string): string {
  if (says.includes('CKR_PIN_LOCKED')) return 'the token has locked its PIN: the security officer resets it with the vendor\'s tools';
  if (says.includes('CKR_PIN')) return 'correct backends.pkcs11.pin_env or pin_path before you start it again: a token locks itself after some wrong PINs';
  if (says.includes('no slot has a token')) return `set backends.pkcs11.slot_label to a label that pkcs11-tool --list-token-slots shows, or make a token: softhsm2-util --init-token --free --label ${label}`;
  if (says.includes('optional package')) return 'install a C++ compiler and Python, and npm ci again';
  return 'try the module with its vendor\'s tools, as the user that the service runs as; docs/runbooks/pkcs11.md has more';
}

async function examineTpm({ settings, devices }: Examining): Promise<readonly Finding[]> {
  const pcrs = settings['backends.tpm.pcrs'];
  const name = 'TPM';
  try {
    const { manufacturer, firmware, failedTries, triesMax, isLocked, hasPcrs } = await describeTpm(devices.tpm(), pcrs);
    const there = `${settings['backends.tpm.device']}: ${manufacturer}, firmware ${firmware}`;
    return [
      isLocked
        ? { name, level: 'wrong', says: `${there}; it is locked after too many wrong PINs`, advice: 'wait, or let its owner reset it: tpm2_dictionarylockout --clear-lockout' }
        : { name, level: 'ok', says: `${there}; ${failedTries} of ${triesMax} wrong PINs` },
      hasPcrs
        ? { name: 'PCRs', level: 'ok', says: pcrs.length === 0 ? 'none is used' : `SHA-256 bank, ${pcrs.join(', ')}` }
        : { name: 'PCRs', level: 'wrong', says: `there is no SHA-256 bank with PCR ${pcrs.join(', ')}`, advice: 'turn it on in the firmware, or choose others with backends.tpm.pcrs before init' },
    ];
  } catch (fault) {
    return [{ name, level: 'wrong', says: reasonOf(fault), advice: 'put this user into the group of the device (often tss), or say with backends.tpm.device where it is' }];
  }
}

async function examineCloud({ settings, environment }: Examining): Promise<readonly Finding[]> {
  const name = 'key service';
  try {
    const kms = await openCloudKms({ settings, environment });
    const probe = randomBytes(PROBE_BYTES);
    const startedMs = performance.now();
    const opened = await kms.decrypt(await kms.encrypt(probe, PROBE_CONTEXT), PROBE_CONTEXT);
    const tookMs = Math.round(performance.now() - startedMs);
    kms.close();
    if (opened?.equals(probe) !== true) return [{ name, level: 'wrong', says: `${kms.name} does not give back what it sealed`, advice: 'look at the key there: is it for symmetric encryption?' }];
    return [{ name, level: 'ok', says: `${kms.name} seals and opens, in ${tookMs} ms together` }];
  } catch (fault) {
    return [{ name, level: 'wrong', says: reasonOf(fault), advice: 'try the key with the provider\'s own tools and the same credentials: this service needs to encrypt and to decrypt by it' }];
  }
}
