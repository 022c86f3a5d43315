import type { ErrorItem } from './wire.ts';
/**
 * A code of the service's error table, or one of the client's own. `Unreachable`: no connection, or it broke;
 * `DeadlineExceeded`: no answer in time. Both have status 0, and after either nobody knows whether a mutation was done:
 * repeat it with the same `op_id`. `BadAnswer`: an answer, and not of a ron-kms, but of a proxy or of something else there.
 */
export type KmsErrorCode = ErrorItem['code'] | 'Unreachable' | 'DeadlineExceeded' | 'BadAnswer';
export interface KmsErrorDetail {
    readonly status: number;
    readonly retryable?: boolean;
    /** What to do next, in the service's words. */
    readonly hint?: string | undefined;
    /** Finds the call in the log of the service. */
    readonly requestId?: string | undefined;
    /** How long the service asked to wait. */
    readonly retryAfterMs?: number | undefined;
    /** The error item as the service sent it, or the fault below. */
    readonly cause?: unknown;
}
/** Every call that is not answered with a success rejects with one of these. */
export declare class KmsClientError extends Error {
    readonly name = "KmsClientError";
    readonly code: KmsErrorCode;
    /** The HTTP status; 0 where there was no answer. */
    readonly status: number;
    /** Whether the same call may succeed later. */
    readonly retryable: boolean;
    readonly hint: string | undefined;
    readonly requestId: string | undefined;
    readonly retryAfterMs: number | undefined;
    constructor(code: KmsErrorCode, message: string, { status, retryable, hint, requestId, retryAfterMs, cause }: KmsErrorDetail);
}
