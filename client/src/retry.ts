import type { KmsClientError } from './errors.ts';

const BACKOFF_MS = 100;
const BACKOFF_MAX_MS = 5000;
const ATTEMPTS_MAX = 8;
/** Refusals that come before any work: the call was not done, not even in part. */
const NOTHING_DONE = new Set([429, 503]);

/**
 * How long to wait before trying again; undefined when not to. Only a refusal of the service itself counts, by its own
 * `retryable`: what a broken connection or a passed deadline left undone is not known.
 */
export function retryWaitMs({ retryable, status, retryAfterMs }: KmsClientError, attempt: number): number | undefined {
  if (!retryable || !NOTHING_DONE.has(status) || attempt + 1 >= ATTEMPTS_MAX) return undefined;
  // Full jitter on top of what was asked for: callers refused together do not come back together.
  return (retryAfterMs ?? 0) + Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** attempt);
}

/** `Retry-After` in milliseconds: seconds or a date (RFC 9110 §10.2.3). */
export function parseRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
