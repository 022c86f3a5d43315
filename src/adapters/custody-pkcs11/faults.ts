/** What a fault means for who asked: the token as a whole does not work; this key is not on it; neither. */
export type FaultKind = 'gone' | 'held' | 'failed';

/** A fault of ours, with what it means. */
export class TokenFault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** PKCS #11 3.0 §5.1. */
export const CKR_MECHANISM_INVALID = 0x70;
const CKR_GENERAL_ERROR = 0x05;
const CKR_FUNCTION_FAILED = 0x06;

/** Of calls that say: this input. Two of them may as well mean the token, and SoftHSM2 says GENERAL_ERROR of a wrong tag: who gets one asks the token. */
const OF_INPUT: ReadonlySet<number> = new Set([
  CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, 0x07 /* ARGUMENTS_BAD */, 0x40 /* ENCRYPTED_DATA_INVALID */, 0x41 /* ENCRYPTED_DATA_LEN_RANGE */, 0x71 /* MECHANISM_PARAM_INVALID */,
]);

/** Of calls that say: this token does not work, or is another by now. */
const OF_TOKEN: ReadonlySet<number> = new Set([
  CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, 0x02 /* HOST_MEMORY */, 0x30 /* DEVICE_ERROR */, 0x31 /* DEVICE_MEMORY */, 0x32 /* DEVICE_REMOVED */,
  0x60 /* KEY_HANDLE_INVALID */, 0x82 /* OBJECT_HANDLE_INVALID */, 0xB0 /* SESSION_CLOSED */, 0xB3 /* SESSION_HANDLE_INVALID */,
  0xE0 /* TOKEN_NOT_PRESENT */, 0xE1 /* TOKEN_NOT_RECOGNIZED */, 0x101 /* USER_NOT_LOGGED_IN */, 0x190 /* CRYPTOKI_NOT_INITIALIZED */,
]);

/** Some calls of pkcs11js give the code as a member, some in the message alone. */
export function codeOf(fault: unknown): number {
  if (!(fault instanceof Error)) return -1;
  if ('code' in fault && typeof fault.code === 'number') return fault.code;
  return Number(/^CKR_\w+:(\d+)/.exec(fault.message)?.[1] ?? -1);
}

export function mayBeInput(fault: unknown): boolean {
  return OF_INPUT.has(codeOf(fault));
}

export function kindOf(fault: unknown): FaultKind {
  if (fault instanceof TokenFault) return fault.kind;
  return OF_TOKEN.has(codeOf(fault)) ? 'gone' : 'failed';
}
