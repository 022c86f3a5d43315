/** A secret that a TPM gives back on this machine, in this state (docs/formats/tpm.md). */
import type { Tpm, TpmUse } from './tpm.ts';
import { COMMANDS, fixedHandle } from './commands.ts';
import { TpmFault } from './faults.ts';
import { sized, u32 } from './marshal.ts';
import { pcrSelection, sealedData } from './public-areas.ts';
import { ENCRYPT, sha256 } from './sessions.ts';

/** As it lies on disk; only the TPM that made it can read it. */
export interface TpmSealed {
  /** The name of the storage key: another one means another TPM, or one that was cleared. */
  readonly parent_b64: string;
  readonly public_b64: string;
  readonly private_b64: string;
  /** In the SHA-256 bank; empty: in any state. */
  readonly pcrs: readonly number[];
  readonly pin: boolean;
}

const PIN_BYTES_MAX = 32;
const PCRS_PER_READ = 8;
const SHA256_BYTES = 32;

/** Seals to the PCRs as they are now. */
export function sealToTpm(tpm: Tpm, secret: Buffer, { pcrs, pin }: { readonly pcrs: readonly number[]; readonly pin?: Buffer | undefined }): Promise<TpmSealed> {
  if (pin !== undefined && (pin.length === 0 || pin.length > PIN_BYTES_MAX)) throw new TpmFault('pin', `a PIN for the TPM has 1 to ${PIN_BYTES_MAX} bytes`);
  return tpm.use(async (use) => {
    const { name } = await use.storageKey();
    const policy = policyOf(pcrs, pcrs.length === 0 ? undefined : await readPcrs(use, pcrs), pin !== undefined);
    const { publicArea, privateArea } = await use.create(sealedData(policy, pin !== undefined), { data: secret, ...(pin && { authValue: pin }) });
    return { parent_b64: name.toString('base64'), public_b64: publicArea.toString('base64'), private_b64: privateArea.toString('base64'), pcrs, pin: pin !== undefined };
  });
}

/** The secret, which comes over the bus encrypted; the caller zeroes it. */
export function unsealFromTpm(tpm: Tpm, sealed: TpmSealed, pin: Buffer | undefined): Promise<Buffer> {
  if (sealed.pin && pin === undefined) throw new TpmFault('pin', 'it is sealed with a PIN, and nobody gives one: set backends.tpm.pin_env');
  return tpm.use(async (use) => {
    const parent = await use.storageKey();
    if (!parent.name.equals(Buffer.from(sealed.parent_b64, 'base64'))) throw new TpmFault('other', 'this is another TPM than the one that sealed, or it was cleared since');
    const item = await use.load(Buffer.from(sealed.public_b64, 'base64'), Buffer.from(sealed.private_b64, 'base64'));
    const session = await use.startSession('policy', { attributes: ENCRYPT, saltedTo: parent, isAuthShown: sealed.pin, ...(sealed.pin && pin && { authValue: pin }) });
    if (sealed.pcrs.length > 0) await use.run('PolicyPCR', { handles: [fixedHandle(session.handle)], parameters: Buffer.concat([sized(Buffer.alloc(0)), pcrSelection(sealed.pcrs)]) });
    if (sealed.pin) await use.run('PolicyAuthValue', { handles: [fixedHandle(session.handle)] });
    const { parameters } = await use.run('Unseal', { handles: [item], session });
    return parameters.sized();
  });
}

/** Their values in the SHA-256 bank, in the order of their numbers. */
export async function readPcrs(use: TpmUse, pcrs: readonly number[]): Promise<readonly Buffer[]> {
  const ordered = pcrs.toSorted((one, other) => one - other);
  const values: Buffer[] = [];
  for (let at = 0; at < ordered.length; at += PCRS_PER_READ) {
    const some = ordered.slice(at, at + PCRS_PER_READ);
    const { parameters } = await use.run('PCR_Read', { parameters: pcrSelection(some) });
    parameters.u32();
    const given = parameters.bytes(pcrSelection(some).length);
    const count = parameters.u32();
    if (!given.equals(pcrSelection(some)) || count !== some.length) throw new TpmFault('refused', 'the TPM has no SHA-256 bank of these PCRs: choose others with backends.tpm.pcrs, or turn the bank on in the firmware');
    for (let i = 0; i < count; i++) values.push(parameters.sized());
  }
  return values;
}

/** TPM2_PolicyPCR and TPM2_PolicyAuthValue as they add up (Part 3 §23.7, §23.17). */
function policyOf(pcrs: readonly number[], values: readonly Buffer[] | undefined, hasPin: boolean): Buffer {
  const start: Buffer = Buffer.alloc(SHA256_BYTES);
  const ofPcrs = values === undefined ? start : sha256(start, u32(COMMANDS.PolicyPCR), pcrSelection(pcrs), sha256(...values));
  return hasPin ? sha256(ofPcrs, u32(COMMANDS.PolicyAuthValue)) : ofPcrs;
}
