import type { KmsError } from '../core/errors.ts';
import type { VersionRecord } from '../core/key/record.ts';

/** One request, or one item of a batch, as it ended. Never a payload, a token or a secret. */
export interface RequestReport {
  readonly corrId: string;
  readonly requestId: string;
  readonly peer: string | undefined;
  /** Why it failed; its cause is for the log only. */
  readonly refusal: KmsError | undefined;
}

export interface OperationReport extends RequestReport {
  readonly op: string;
  readonly opId: string;
  readonly alg: string;
  /** `ok`, `invalid` or an error code. */
  readonly result: string;
  readonly latencyMs: number;
  readonly tenant: string | undefined;
  readonly version: VersionRecord | undefined;
}

export interface Telemetry {
  operation(report: OperationReport): void;
  /** A refusal before any operation: no token, too large, unknown path. */
  refused(report: RequestReport & { readonly refusal: KmsError }): void;
  /** Something was not taken in, as there was too much of it already. */
  turnedAway(queue: string): void;
  /** Evidence of key residency was asked for. */
  attested(result: 'ok' | 'missing'): void;
  /** A fact about the service itself: `event` is a fixed word, `fields` say the rest. */
  event(level: 'info' | 'warn' | 'error', event: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
}
