import type { OperationReport, Telemetry } from '../../ports/telemetry.ts';
import type { Metrics } from './metrics.ts';
import type { LogLines } from './log-lines.ts';
import { KmsError, rejectReasons } from '../../core/errors.ts';

export interface TelemetryDeps {
  readonly metrics: Metrics;
  readonly log: LogLines;
  /** `observability.redact_level`: `none` shows the kid itself, `lengths` not even its hash. */
  readonly redactLevel: 'hashes' | 'lengths' | 'none';
}

export function createTelemetry({ metrics, log, redactLevel }: TelemetryDeps): Telemetry {
  const keyFields: Readonly<Record<typeof redactLevel, (kid: string, kidHash: string) => Readonly<Record<string, string | number>>>> = {
    hashes: (kid, kidHash) => ({ kid_hash: kidHash, kid_version: versionOf(kid) }),
    lengths: (kid) => ({ kid_length: kid.length }),
    none: (kid) => ({ kid: kid.replace('#v', '@') }),
  };
  const fieldsOf = ({ corrId, requestId, opId, tenant, kid, kidHash, peer, attestationClass, reason, cause }: Omit<OperationReport, 'op' | 'alg' | 'result' | 'latencyMs'>) => ({
    corr_id: corrId, request_id: requestId, op_id: opId, tenant,
    ...(kid !== undefined && kidHash !== undefined && keyFields[redactLevel](kid, kidHash)),
    peer, attestation_class: attestationClass, reason,
    ...(cause !== undefined && { fault: describeFault(cause) }),
  });

  return {
    operation(report) {
      const { op, alg, result, latencyMs } = report;
      metrics.operation(op, alg, result, latencyMs / 1000);
      const isRefusal = result in rejectReasons;
      if (isRefusal) metrics.rejected(result as keyof typeof rejectReasons);
      log.write(levelOf(result), { event: op, alg, result, latency_ms: Math.round(latencyMs * 1000) / 1000, ...fieldsOf(report) });
    },
    refused(code, report) {
      metrics.rejected(code);
      log.write(levelOf(code), { event: 'refused', result: code, ...fieldsOf(report) });
    },
    event(level, event, fields) {
      log.write(level, { event, ...fields });
    },
  };
}

function levelOf(result: string): 'info' | 'error' {
  return result === 'Internal' ? 'error' : 'info';
}

/** A fault of ours by its kind and place: its message could carry what it was about. */
function describeFault(cause: unknown): string {
  if (cause instanceof KmsError) return cause.code;
  if (!(cause instanceof Error)) return 'not an error';
  const places = (cause.stack ?? '').split('\n').filter((line) => line.startsWith('    at ')).slice(0, 4);
  return [cause.name, ...places.map((line) => line.trim())].join(' | ');
}

function versionOf(kid: string): number {
  return Number(kid.slice(kid.lastIndexOf('#v') + 2));
}
