import type { KmsClientError } from './errors.ts';
/**
 * How long to wait before trying again; undefined when not to. Only a refusal of the service itself counts, by its own
 * `retryable`: what a broken connection or a passed deadline left undone is not known.
 */
export declare function retryWaitMs({ retryable, status, retryAfterMs }: KmsClientError, attempt: number): number | undefined;
/** `Retry-After` in milliseconds: seconds or a date (RFC 9110 §10.2.3). */
export declare function parseRetryAfter(value: string | null): number | undefined;
