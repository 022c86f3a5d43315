import type { ErrorCode } from '../core/errors.ts';

/** One finished operation, for metrics and the log. Never a payload, a token or a secret. */
export interface OperationReport {
  readonly op: string;
  readonly alg: string;
  /** `ok`, `invalid` or an error code. */
  readonly result: string;
  readonly latencyMs: number;
  readonly corrId: string;
  readonly requestId: string;
  readonly opId?: string;
  readonly peer?: string;
  readonly tenant?: string;
  readonly kidHash?: string;
  readonly kid?: string;
  readonly attestationClass?: string;
  /** Why it failed, in our own words. */
  readonly reason?: string;
  /** A fault of ours, for `Internal` only. */
  readonly cause?: unknown;
}

export interface Telemetry {
  operation(report: OperationReport): void;
  /** A refusal before any operation: no token, too large, unknown path. */
  refused(code: ErrorCode, report: Omit<OperationReport, 'op' | 'alg' | 'result' | 'latencyMs'>): void;
  /** A fact about the service itself: `event` is a fixed word, `fields` say the rest. */
  event(level: 'info' | 'warn' | 'error', event: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
}
