/**
 * What a fault means for who asked. `gone`: it cannot be reached; `busy`: the same may go well later; `locked`: too many wrong PINs; `pin`;
 * `pcrs`: the machine is not in the state that was sealed to; `other`: another TPM, or it was cleared; `missing`: no such NV index;
 * `answer`: what came is no answer, or was changed on the way.
 */
export type TpmFaultKind = 'gone' | 'busy' | 'locked' | 'pin' | 'pcrs' | 'other' | 'missing' | 'answer' | 'refused';

/** Its message says what the operator can do; nothing of it is secret. */
export class TpmFault extends Error {
  override readonly name = 'TpmFault';
  readonly kind: TpmFaultKind;

  constructor(kind: TpmFaultKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

interface Meaning {
  readonly kind: TpmFaultKind;
  readonly say: string;
}

/** TPM 2.0 Part 2 §6.6.3: codes that mean the same wherever they come. */
const WHOLE: Readonly<Record<number, Meaning>> = {
  0x100: { kind: 'refused', say: 'the TPM was not started: the firmware does that (TPM2_Startup)' },
  0x101: { kind: 'refused', say: 'the TPM is in failure mode: restart the machine' },
  0x14a: { kind: 'missing', say: 'the NV index was never written' },
  0x14c: { kind: 'refused', say: 'the NV index is taken: name another with backends.tpm.nv_index' },
  0x902: { kind: 'busy', say: 'the TPM has no room for another key: use the resource manager, /dev/tpmrm0, or flush what was left there' },
  0x903: { kind: 'busy', say: 'the TPM has no room for another session: use the resource manager, /dev/tpmrm0, or flush what was left there' },
  0x908: { kind: 'busy', say: 'the TPM asks to be asked again' },
  0x90a: { kind: 'busy', say: 'the TPM is testing itself' },
  0x920: { kind: 'busy', say: 'the TPM does not write its memory so often' },
  0x921: { kind: 'locked', say: 'the TPM is locked after too many wrong PINs: wait, or let its owner reset it (tpm2_dictionarylockout --clear-lockout)' },
  0x922: { kind: 'busy', say: 'the TPM asks to be asked again' },
  0x923: { kind: 'busy', say: 'the TPM cannot write its memory now' },
};

/** §6.6.2: codes of one handle, session or parameter; which one stands in other bits. */
const OF_PART: Readonly<Record<number, Meaning>> = {
  0x085: { kind: 'refused', say: 'the TPM does not let this key be used for that' },
  0x08b: { kind: 'missing', say: 'the TPM has no such object or NV index' },
  0x08e: { kind: 'pin', say: 'the PIN is wrong; after some wrong ones the TPM locks itself' },
  0x09d: { kind: 'pcrs', say: 'the PCRs of the TPM are not those that were sealed to: firmware, its settings or the boot chain changed. Boot the state of before, or restore from a backup and seal anew' },
  0x09f: { kind: 'other', say: 'what was sealed was changed, or is of another TPM, or of this one before it was cleared' },
  0x0a2: { kind: 'pin', say: 'the PIN, or the password of the owner, is wrong' },
};

const FORMAT_ONE = 0x80;
const CODE_OF_PART = 0xbf;

/** The fault that a response code stands for. */
export function faultOf(code: number, command: string): TpmFault {
  const meaning = WHOLE[code] ?? ((code & FORMAT_ONE) === 0 ? undefined : OF_PART[code & CODE_OF_PART]);
  const { kind, say } = meaning ?? { kind: 'refused', say: 'the TPM refuses' };
  return new TpmFault(kind, `${say} (${command}: 0x${code.toString(16).padStart(3, '0')})`);
}
