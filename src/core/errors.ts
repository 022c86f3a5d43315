/**
 * The one error table (DESIGN §4). Every refusal that leaves the service is one of these codes; the
 * message is fixed here, so no input and no private detail can travel in it.
 */
interface ErrorRow {
  /** HTTP statuses the code may carry; the first is the default. */
  readonly statuses: readonly [number, ...number[]];
  readonly retryable: boolean;
  readonly message: string;
}

export const errorTable = {
  BadRequest: { statuses: [400], retryable: false, message: 'the request is not well formed' },
  Unsupported: { statuses: [400], retryable: false, message: 'the algorithm, field or mode is not for this key, or not allow-listed' },
  UnwrapFailed: { statuses: [400], retryable: false, message: 'the wrapped key cannot be opened' },
  NoCapability: { statuses: [403, 401], retryable: false, message: 'no capability for this' },
  PolicyDenied: { statuses: [403], retryable: false, message: 'policy denies this' },
  PqPolicy: { statuses: [403], retryable: false, message: 'the post-quantum policy of this tenant denies this' },
  AttestationMissing: { statuses: [403], retryable: false, message: 'evidence of key residency is required and not available' },
  ExportForbidden: { statuses: [403], retryable: false, message: 'private keys never leave the service' },
  NotFound: { statuses: [404], retryable: false, message: 'there is nothing here' },
  Timeout: { statuses: [504, 408], retryable: true, message: 'it took too long' },
  Conflict: { statuses: [409], retryable: false, message: 'this op_id was used with another body' },
  NonceReuse: { statuses: [409], retryable: false, message: 'the nonce is not above the last one, or too far beyond it' },
  KeyState: { statuses: [409], retryable: false, message: 'the state of the key version does not allow this' },
  TooLarge: { statuses: [413, 431], retryable: false, message: 'the request is too large' },
  Backpressure: { statuses: [429], retryable: true, message: 'too many requests are in flight' },
  QuotaExceeded: { statuses: [429], retryable: true, message: 'the quota of this tenant is used up' },
  Internal: { statuses: [500], retryable: false, message: 'an internal fault; the request id finds it in the log' },
  StoreUnavailable: { statuses: [503], retryable: true, message: 'the key store cannot serve this now' },
  AuditUnavailable: { statuses: [503], retryable: true, message: 'the audit log cannot be written' },
  PolicyUnavailable: { statuses: [503], retryable: true, message: 'the policy service cannot be asked' },
  AuthUnavailable: { statuses: [503], retryable: true, message: 'the token introspection service cannot be asked' },
  ClockSkew: { statuses: [503], retryable: true, message: 'the clock is doubted' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** Values of the `reason` label of `kms_reject_total` (DESIGN §11). */
export type RejectReason =
  | 'backpressure' | 'unauth' | 'pq_policy' | 'policy' | 'quota' | 'decompress_cap' | 'ratio_cap' | 'too_large'
  | 'attest_missing' | 'store_unavailable' | 'audit_unavailable' | 'policy_unavailable' | 'clock_skew' | 'nonce_reuse';

/** Which refusals are counted in `kms_reject_total`, and as what. */
export const rejectReasons: Partial<Record<ErrorCode, RejectReason>> = {
  Backpressure: 'backpressure',
  NoCapability: 'unauth',
  AuthUnavailable: 'unauth',
  PqPolicy: 'pq_policy',
  PolicyDenied: 'policy',
  QuotaExceeded: 'quota',
  TooLarge: 'too_large',
  AttestationMissing: 'attest_missing',
  StoreUnavailable: 'store_unavailable',
  AuditUnavailable: 'audit_unavailable',
  PolicyUnavailable: 'policy_unavailable',
  ClockSkew: 'clock_skew',
  NonceReuse: 'nonce_reuse',
};

export interface ErrorDetail {
  /** One of the code's statuses in the table; its first when left out. */
  readonly status?: number;
  /** What to do next. A fixed text of ours, never anything of the caller's. */
  readonly hint?: string;
  /** For `Retry-After`, in seconds; retryable codes answer 1 when left out. */
  readonly retryAfterS?: number;
  /** What it counts as in `kms_reject_total`; what its code does when left out. */
  readonly reason?: RejectReason;
  /** Which queue is full. */
  readonly queue?: 'sign' | 'verify' | 'audit' | 'records';
  /** Kept for the log, never sent. */
  readonly cause?: unknown;
}

/** A refusal for the caller. Our own bugs are `assert`'s and become `Internal` at the edge. */
export class KmsError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly hint: string | undefined;
  readonly retryAfterS: number | undefined;
  readonly reason: RejectReason | undefined;
  readonly queue: ErrorDetail['queue'];
  /** Set once it was counted and logged, so that it is so only once. */
  isReported = false;

  constructor(code: ErrorCode, detail: ErrorDetail = {}) {
    const row: ErrorRow = errorTable[code];
    // Where a refusal comes from is nobody's question, and to write it down costs more than to refuse.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(row.message, detail.cause === undefined ? undefined : { cause: detail.cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'KmsError';
    this.code = code;
    this.status = detail.status ?? row.statuses[0];
    this.hint = detail.hint;
    this.reason = detail.reason ?? rejectReasons[code];
    this.queue = detail.queue;
    this.retryAfterS = detail.retryAfterS ?? (row.retryable ? 1 : undefined);
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  /** Whatever was thrown, as a refusal: an unknown fault is `Internal` and its detail stays here. */
  static from(fault: unknown): KmsError {
    return fault instanceof KmsError ? fault : new KmsError('Internal', { cause: fault });
  }
}
