/** What a TPM says of itself, for people. */
import type { Tpm } from './tpm.ts';
import { u32 } from './marshal.ts';
import { readPcrs } from './sealed-data.ts';

export interface TpmFacts {
  readonly manufacturer: string;
  readonly firmware: string;
  /** Wrong PINs that count now, and how many lock it. */
  readonly failedTries: number;
  readonly triesMax: number;
  readonly isLocked: boolean;
  /** Whether the SHA-256 bank has these PCRs. */
  readonly hasPcrs: boolean;
}

/** TPM_PT (Part 2 §6.13). */
const TPM_PROPERTIES = 6;
const MANUFACTURER = 0x105;
const FIRMWARE_1 = 0x10b;
const PERMANENT = 0x200;
const LOCKOUT_COUNTER = 0x20e;
const MAX_AUTH_FAIL = 0x20f;
const IN_LOCKOUT = 0x200;

export function describeTpm(tpm: Tpm, pcrs: readonly number[]): Promise<TpmFacts> {
  return tpm.use(async (use) => {
    const property = async (name: number): Promise<number> => {
      const { parameters } = await use.run('GetCapability', { parameters: Buffer.concat([u32(TPM_PROPERTIES), u32(name), u32(1)]) });
      parameters.u8();
      parameters.u32();
      if (parameters.u32() === 0) return 0;
      parameters.u32();
      return parameters.u32();
    };
    const version = await property(FIRMWARE_1);
    return {
      manufacturer: u32(await property(MANUFACTURER)).toString('latin1').replaceAll('\0', ' ').trim(),
      firmware: `${version >>> 16}.${version & 0xffff}`,
      failedTries: await property(LOCKOUT_COUNTER),
      triesMax: await property(MAX_AUTH_FAIL),
      isLocked: (await property(PERMANENT) & IN_LOCKOUT) !== 0,
      hasPcrs: pcrs.length === 0 || await readPcrs(use, pcrs).then(() => true, () => false),
    };
  });
}
